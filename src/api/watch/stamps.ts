/**
 * Headers of messages without their sequence: tokens and the server's time. Those who are told the same at the same time
 * get the same one, so a change that many watch costs one, not one for each of them.
 */
import type { PositionTokens } from '../../application/position-token.ts';
import { comparePositions } from '../../eventstore/port.ts';
import * as messages from './messages.ts';
import type { Moment, ResumeTokens } from './resume-token.ts';

export interface StampsParts {
  readonly tokens: PositionTokens;
  readonly resumeTokens: ResumeTokens;
  readonly clock: () => Date;
}

interface Stamp {
  readonly scope: string;
  readonly through: Moment | undefined;
  readonly time: number;
  readonly bytes: Uint8Array;
}

export class Stamps {
  readonly #parts: StampsParts;
  #last: Stamp | undefined;

  constructor(parts: StampsParts) {
    this.#parts = parts;
  }

  /** With `through`, everything up to that moment has been told with the message to those of this scope. */
  of(scope: string, through: Moment | undefined): Uint8Array {
    const { tokens, resumeTokens, clock } = this.#parts;
    const serverTime = clock();
    const time = serverTime.getTime();
    const last = this.#last;
    if (last?.time === time && last.scope === scope && isSame(last.through, through)) return last.bytes;
    const positionToken = through ? tokens.encode(through.position) : '';
    const resumeToken = through ? resumeTokens.encode(scope, through) : '';
    const bytes = messages.stamp({ positionToken, resumeToken, serverTime });
    this.#last = { scope, through, time, bytes };
    return bytes;
  }
}

function isSame(a: Moment | undefined, b: Moment | undefined): boolean {
  if (!a || !b) return a === b;
  return a.incarnation === b.incarnation && comparePositions(a.position, b.position) === 0;
}

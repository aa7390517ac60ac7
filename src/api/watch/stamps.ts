/**
 * Headers of messages without their sequence: tokens and the server's time. Those who are told the same at the same time
 * get the same one, so a change that many watch costs one, not one for each of them.
 */
import type { PositionTokens } from '../../application/position-token.ts';
import { comparePositions, type Position } from '../../eventstore/port.ts';
import * as messages from './messages.ts';
import type { ResumeTokens } from './resume-token.ts';

export interface StampsParts {
  readonly tokens: PositionTokens;
  readonly resumeTokens: ResumeTokens;
  readonly clock: () => Date;
}

interface Stamp {
  readonly scope: string;
  readonly through: Position | undefined;
  readonly incarnation: string;
  readonly serverTime: Date;
  readonly bytes: Uint8Array;
}

export class Stamps {
  readonly #parts: StampsParts;
  #last: Stamp | undefined;
  /** Of this turn of the event loop, in which a change is told to all who follow. */
  #turnTime: Date | undefined;

  constructor(parts: StampsParts) {
    this.#parts = parts;
  }

  /** With `through`, everything up to there, of that incarnation, has been told with the message to those of this scope. */
  of(scope: string, through: Position | undefined, incarnation: string): Uint8Array {
    const { tokens, resumeTokens } = this.#parts;
    const serverTime = this.#now();
    const last = this.#last;
    if (
      last?.serverTime === serverTime &&
      last.scope === scope &&
      last.incarnation === incarnation &&
      isSame(last.through, through)
    )
      return last.bytes;
    const positionToken = through ? tokens.encode(through) : '';
    const resumeToken = through ? resumeTokens.encode(scope, { position: through, incarnation }) : '';
    const bytes = messages.stamp({ positionToken, resumeToken, serverTime });
    this.#last = { scope, through, incarnation, serverTime, bytes };
    return bytes;
  }

  #now(): Date {
    if (!this.#turnTime) {
      this.#turnTime = this.#parts.clock();
      setImmediate(() => (this.#turnTime = undefined));
    }
    return this.#turnTime;
  }
}

function isSame(a: Position | undefined, b: Position | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && comparePositions(a, b) === 0);
}

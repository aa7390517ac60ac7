/**
 * Headers of messages without their sequence: tokens and the server's time. Those who are told the same at the same time
 * get the same one, so a change that many watch costs one, not one for each of them.
 */
import type { PositionTokens } from '../../application/position-token.ts';
import * as messages from './messages.ts';
import type { Moment, ResumeTokens } from './resume-token.ts';

export interface StampsParts {
  readonly tokens: PositionTokens;
  readonly resumeTokens: ResumeTokens;
  readonly clock: () => Date;
}

export class Stamps {
  readonly #parts: StampsParts;
  #last: { readonly name: string; readonly time: number; readonly stamp: Uint8Array } | undefined;

  constructor(parts: StampsParts) {
    this.#parts = parts;
  }

  /** With `through`, everything up to that moment has been told with the message to those of this scope. */
  of(scope: string, through: Moment | undefined): Uint8Array {
    const { tokens, resumeTokens, clock } = this.#parts;
    const serverTime = clock();
    const time = serverTime.getTime();
    // It names scope, making and position.
    const name = through ? resumeTokens.encode(scope, through) : '';
    if (this.#last?.name !== name || this.#last.time !== time) {
      const positionToken = through ? tokens.encode(through.position) : '';
      this.#last = { name, time, stamp: messages.stamp({ positionToken, resumeToken: name, serverTime }) };
    }
    return this.#last.stamp;
  }
}

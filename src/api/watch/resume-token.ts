/**
 * Where a watch can be taken up again: the position everything up to which has been sent, of which making of the read
 * model, and for which filter. The first part names the filter, and is the same for a watch's whole life; the second
 * is sealed, and is the same for all who watch.
 */
import { createHash } from 'node:crypto';
import type { Seal } from '../../application/seal.ts';
import { formatPosition, parsePosition, type Position } from '../../eventstore/port.ts';

/** A position of one making (incarnation) of what is watched. */
export interface Moment {
  readonly position: Position;
  readonly incarnation: string;
}

export interface ResumeTokens {
  encode(scope: string, moment: Moment): string;
  /** `invalid`: not one of ours. `foreign`: of another feed or another filter. */
  decode(scope: string, token: string): Moment | 'invalid' | 'foreign';
}

const purpose = 'resume';

/** What a filter is called in tokens: `bytes` are those of the request without what may change between two watches. */
export const scopeOf = (feed: string, bytes: Uint8Array): string =>
  createHash('sha256').update(feed).update('\0').update(bytes).digest('base64url').slice(0, 12);

/** Of one feed, such as "projection:balance". */
export function resumeTokens(seal: Seal, feed: string): ResumeTokens {
  let last: { moment: Moment; sealed: string } | undefined;
  return {
    encode(scope, moment) {
      const { position, incarnation } = moment;
      const known =
        last?.moment.incarnation === incarnation &&
        last.moment.position.commit === position.commit &&
        last.moment.position.prepare === position.prepare;
      if (!last || !known) {
        const text = JSON.stringify([feed, incarnation, formatPosition(position)]);
        last = { moment, sealed: seal.close(purpose, text) };
      }
      return `${scope}.${last.sealed}`;
    },
    decode(scope, token) {
      const dot = token.indexOf('.');
      const text = seal.open(purpose, token.slice(dot + 1));
      if (dot < 0 || text === undefined) return 'invalid';
      // Sealed by `encode`, so it is what that makes.
      const [ofFeed = '', incarnation = '', at = ''] = JSON.parse(text) as string[];
      const position = parsePosition(at);
      if (!position) return 'invalid';
      return ofFeed === feed && token.slice(0, dot) === scope ? { position, incarnation } : 'foreign';
    },
  };
}

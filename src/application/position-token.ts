/** Positions as clients see them: opaque text, signed, so that a made-up or foreign one is told apart at once. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { formatPosition, parsePosition, type Position } from '../eventstore/port.ts';

export interface PositionTokens {
  encode(position: Position): string;
  /** The position; undefined for anything this installation did not give out. */
  decode(token: string): Position | undefined;
}

const version = 1;
const macLength = 16;

/** Tokens of one store. Instances that share the key accept each other's tokens. */
export function positionTokens(key: Uint8Array, storeId: string): PositionTokens {
  const mac = (body: string): Buffer =>
    createHmac('sha256', key).update(`${version}|${storeId}|${body}`).digest().subarray(0, macLength);
  // Whoever is told of a commit is told the same token, and the proof is most of what that costs.
  let last: { readonly body: string; readonly token: string } | undefined;
  return {
    encode(position) {
      const body = formatPosition(position);
      if (last?.body !== body) {
        const token = Buffer.concat([Buffer.of(version), mac(body), Buffer.from(body)]).toString('base64url');
        last = { body, token };
      }
      return last.token;
    },
    decode(token) {
      const bytes = Buffer.from(token, 'base64url');
      if (bytes[0] !== version || bytes.length <= 1 + macLength) return undefined;
      const body = bytes.subarray(1 + macLength).toString('latin1');
      if (!timingSafeEqual(mac(body), bytes.subarray(1, 1 + macLength))) return undefined;
      return parsePosition(body);
    },
  };
}

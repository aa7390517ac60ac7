/**
 * Positions as clients see them: opaque text, signed, so that a made-up one is told apart at once; and so is one of
 * another log, in which it would be a position too, but of something else.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { formatPosition, parsePosition, type Position } from '../eventstore/port.ts';

export interface PositionTokens {
  encode(position: Position): string;
  /** The position; undefined for anything that was not given out for this log. */
  decode(token: string): Position | undefined;
  /** Whether it was given out by this installation, but for another log: that before or after a `copy-log`. */
  isForeign(token: string): boolean;
}

/*
 * version 1 | digest of the log's id 8 | position as text | signature of all that 16
 */
const version = 2;
const digestLength = 8;
const macLength = 16;

/** Tokens of one store. Instances that share the key accept each other's tokens. */
export function positionTokens(key: Uint8Array, storeId: string): PositionTokens {
  const sign = (signed: Buffer): Buffer =>
    createHmac('sha256', key).update(signed).digest().subarray(0, macLength);
  const log = createHash('sha256').update(storeId).digest().subarray(0, digestLength);
  const prefix = Buffer.concat([Buffer.of(version), log]);

  /** What we have signed, without the signature. */
  function signedIn(bytes: Buffer): Buffer | undefined {
    if (bytes[0] !== version || bytes.length <= prefix.length + macLength) return undefined;
    const signed = bytes.subarray(0, -macLength);
    return timingSafeEqual(sign(signed), bytes.subarray(-macLength)) ? signed : undefined;
  }

  /** Tokens of the first version, which clients may still hold: version 1 | signature 16 | position as text. */
  function decodeFirst(bytes: Buffer): Position | undefined {
    if (bytes[0] !== 1 || bytes.length <= 1 + macLength) return undefined;
    const body = bytes.subarray(1 + macLength).toString('latin1');
    if (!timingSafeEqual(sign(Buffer.from(`1|${storeId}|${body}`)), bytes.subarray(1, 1 + macLength)))
      return undefined;
    return parsePosition(body);
  }

  // Whoever is told of a commit is told the same token, and the proof is most of what that costs.
  let last: { readonly position: string; readonly token: string } | undefined;
  return {
    encode(at) {
      const position = formatPosition(at);
      if (last?.position !== position) {
        const signed = Buffer.concat([prefix, Buffer.from(position)]);
        last = { position, token: Buffer.concat([signed, sign(signed)]).toString('base64url') };
      }
      return last.token;
    },
    decode(token) {
      const bytes = bytesOf(token);
      if (!bytes) return undefined;
      const signed = signedIn(bytes);
      if (!signed) return decodeFirst(bytes);
      if (!signed.subarray(0, prefix.length).equals(prefix)) return undefined;
      return parsePosition(signed.subarray(prefix.length).toString('latin1'));
    },
    isForeign(token) {
      const bytes = bytesOf(token);
      const signed = bytes && signedIn(bytes);
      return signed !== undefined && !signed.subarray(0, prefix.length).equals(prefix);
    },
  };
}

/** Undefined unless the text is just what encoding the bytes gives: Node's decoder passes over what is none. */
function bytesOf(token: string): Buffer | undefined {
  const bytes = Buffer.from(token, 'base64url');
  return bytes.toString('base64url') === token ? bytes : undefined;
}

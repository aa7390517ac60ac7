/**
 * Page tokens: the key to go on after, bound to the method and the filter it was given for. The checksum guards
 * against mistakes (another method, another filter, a cut-off token), not against forgery: a token gives access
 * to nothing that the same call without it would not. So what is in one is checked like anything a client sends.
 */
import { hash } from 'node:crypto';
import type { Columns, ColumnType, Key, ReadModel } from '../../projections/engine/read-model.ts';
import { type ApiError, invalidArgument } from '../errors.ts';

const int32 = [-(2n ** 31n), 2n ** 31n - 1n] as const;
const int64 = [-(2n ** 63n), 2n ** 63n - 1n] as const;
/** In milliseconds: the years 1 to 9999, as in google.protobuf.Timestamp. */
const times = [-62_135_596_800_000n, 253_402_300_799_999n] as const;

const version = 1;
const sumLength = 12;

/** What a token belongs to. */
export interface PageScope {
  /** Path of the method. */
  readonly method: string;
  /** The request, encoded, without page and consistency. */
  readonly filter: Uint8Array;
}

const sum = ({ method, filter }: PageScope, body: string): Buffer =>
  hash(
    'sha256',
    Buffer.concat([Buffer.from(`${version}|${method}|${body.length}|${body}|`), filter]),
    'buffer',
  ).subarray(0, sumLength);

export function encodePageToken(scope: PageScope, values: readonly string[]): string {
  const body = JSON.stringify(values);
  return Buffer.concat([Buffer.of(version), sum(scope, body), Buffer.from(body)]).toString('base64url');
}

/** What was encoded; throws ApiError PAGE_TOKEN_INVALID for anything else. */
export function decodePageToken(scope: PageScope, token: string): readonly string[] {
  const bytes = Buffer.from(token, 'base64url');
  const body = bytes.subarray(1 + sumLength).toString();
  if (bytes[0] !== version || !sum(scope, body).equals(bytes.subarray(1, 1 + sumLength)))
    throw invalidToken();
  const values = parsed(body);
  if (!Array.isArray(values) || !values.every((value) => typeof value === 'string')) throw invalidToken();
  return values;
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw invalidToken();
  }
}

export const invalidToken = (): ApiError =>
  invalidArgument(
    'PAGE_TOKEN_INVALID',
    'not a token that this call gave out for the same filter',
    'page.page_token',
  );

const keyTypes = <C extends Columns>(model: ReadModel<C>): readonly ColumnType[] =>
  model.table.key.map((name) => {
    const spec = model.table.columns[name];
    if (spec === undefined) throw new Error(`${model.name} has no column ${name}`);
    return typeof spec === 'string' ? spec : spec.type;
  });

export const keyToTexts = (key: Key): readonly string[] =>
  key.map((value) => (value instanceof Date ? String(value.getTime()) : String(value)));

export function keyFromTexts<C extends Columns>(model: ReadModel<C>, texts: readonly string[]): Key {
  const types = keyTypes(model);
  if (texts.length !== types.length) throw invalidToken();
  return types.map((type, index) => valueFromText(type, texts[index] ?? ''));
}

const inside = (value: bigint, [least, most]: readonly [bigint, bigint]): boolean =>
  value >= least && value <= most;

function valueFromText(type: ColumnType, text: string): Key[number] {
  if (type === 'text') {
    // Postgres takes no such text.
    if (text.includes('\0')) throw invalidToken();
    return text;
  }
  if (!/^-?\d{1,19}$/.test(text)) throw invalidToken();
  const value = BigInt(text);
  if (type === 'bigint') {
    if (!inside(value, int64)) throw invalidToken();
    return value;
  }
  if (!inside(value, type === 'timestamptz' ? times : int32)) throw invalidToken();
  return type === 'timestamptz' ? new Date(Number(value)) : Number(value);
}

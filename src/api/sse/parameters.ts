/**
 * The query of a URL as a request message, in proto JSON: `members=ann&members=bob&options.changesOnly=true`. A repeated
 * field is repeated, a field of a message within stands behind a dot. Unlike in gRPC, what the contract does not know
 * is refused: in a URL it is a slip of the pen, not a newer client.
 */
import {
  create,
  type DescField,
  type DescMessage,
  type JsonValue,
  mergeFromJson,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import { type FieldViolation, invalidArgument, invalidRequest } from '../errors.ts';

/** The encoded request. Throws ApiError with all that is wrong; the rules of the contract are checked elsewhere. */
export function requestOf(descriptor: DescMessage, search: string): Uint8Array {
  const message = create(descriptor);
  const given = new Set<string>();
  const violations: FieldViolation[] = [];
  for (const [name, text] of parametersIn(search)) {
    const fields = pathTo(descriptor, name.split('.'));
    const last = fields?.at(-1);
    if (!fields || !last) {
      violations.push({
        field: name,
        description: 'there is no such parameter',
        reason: 'UNKNOWN_PARAMETER',
      });
      continue;
    }
    const field = fields.map((each) => each.name).join('.');
    const exclusive = [...fields.slice(0, -1), last.oneof ?? last].map((each) => each.name).join('.');
    if (last.fieldKind !== 'list' && given.has(exclusive)) {
      violations.push({ field, description: 'may be given once', reason: 'GIVEN_TWICE' });
      continue;
    }
    given.add(exclusive);
    try {
      mergeFromJson(descriptor, message, within(fields, jsonOf(last, text)));
    } catch {
      violations.push({ field, description: `must be ${kindOf(last)}`, reason: 'MALFORMED_PARAMETER' });
    }
  }
  if (violations.length > 0) throw invalidRequest(violations);
  return toBinary(descriptor, message);
}

function parametersIn(search: string): URLSearchParams {
  try {
    // URLSearchParams would make other characters of what is no UTF-8, and so another filter.
    decodeURIComponent(search);
  } catch {
    throw invalidArgument('MALFORMED_URL', 'the query is not percent-encoded UTF-8', '');
  }
  return new URLSearchParams(search);
}

/** Fields from the message down to one that has a value of its own. */
function pathTo(descriptor: DescMessage, names: readonly string[]): DescField[] | undefined {
  const [name, ...rest] = names;
  const field = descriptor.fields.find((each) => each.jsonName === name || each.name === name);
  if (!field) return undefined;
  const isLeaf = messageIn(field) === undefined && field.fieldKind !== 'map';
  if (rest.length === 0) return isLeaf ? [field] : undefined;
  const below = field.fieldKind === 'message' && !isLeaf ? pathTo(field.message, rest) : undefined;
  return below && [field, ...below];
}

/** The message that a field is of, if it has fields for us: times and durations are texts. */
function messageIn(field: DescField): DescMessage | undefined {
  const { message } = field;
  return message?.typeName.startsWith('google.protobuf.') ? undefined : message;
}

const jsonOf = (field: DescField, text: string): JsonValue =>
  field.scalar === ScalarType.BOOL && (text === 'true' || text === 'false') ? text === 'true' : text;

const within = (fields: readonly DescField[], value: JsonValue): JsonValue =>
  fields.reduceRight<JsonValue>(
    (inner, field) => ({ [field.jsonName]: field.fieldKind === 'list' ? [inner] : inner }),
    value,
  );

function kindOf(field: DescField): string {
  if (field.enum) return `one of ${field.enum.values.map(({ name }) => name).join(', ')}`;
  if (field.message?.typeName === 'google.protobuf.Duration') return 'a duration in seconds, such as "1.5s"';
  if (field.message?.typeName === 'google.protobuf.Timestamp')
    return 'a time, such as "2026-03-01T12:00:00Z"';
  if (field.scalar === ScalarType.BOOL) return '"true" or "false"';
  return field.scalar === ScalarType.STRING ? 'a text' : 'a number';
}

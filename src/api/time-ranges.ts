/**
 * Ranges of timestamps, checked here instead of by protovalidate: there each is an expression to interpret, which
 * made up most of what validating a small record costs. The rules stay in the proto files; they are taken out of
 * the descriptors that protovalidate gets, and a test holds both ways of checking together.
 */
import {
  clone,
  createFileRegistry,
  type DescField,
  type DescMessage,
  type FileRegistry,
  getExtension,
  hasExtension,
  type Message,
  setExtension,
} from '@bufbuild/protobuf';
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect';
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { FieldViolation } from './errors.ts';

/** Whole seconds since 1970: [from, until). */
interface Range {
  readonly from: bigint;
  readonly until: bigint;
}

/** Checks a message and all in it; adds to the violations. */
export type TimeCheck = (message: Message, path: string, violations: FieldViolation[]) => void;

export interface TimeRanges {
  /** The contract without these rules. */
  readonly registry: FileRegistry;
  /** The check of one kind of message; undefined: it holds no such times. */
  checkOf(descriptor: DescMessage): TimeCheck | undefined;
}

/** Takes the rules out of a copy of the contract. */
export function extractTimeRanges(contract: FileRegistry, set: FileDescriptorSet): TimeRanges {
  const extension = contract.getExtension('buf.validate.field');
  const rulesType = extension?.message;
  if (!extension || !rulesType) throw new Error('the contract has no validation rules');
  const copy = clone(FileDescriptorSetSchema, set);
  const ranges = new Map<string, Range>();

  for (const file of copy.file) {
    // Our messages are not nested.
    for (const message of file.messageType) {
      for (const field of message.field) {
        if (!field.options || !hasExtension(field.options, extension)) continue;
        const value = getExtension(field.options, extension);
        if (typeof value !== 'object' || value === null || !('$typeName' in value)) continue;
        const rules = reflect(rulesType, value as Message);
        const range = rangeIn(rules);
        if (!range) continue;
        ranges.set(`${file.package}.${message.name}.${field.name}`, range);
        rules.clear(fieldOf(rulesType, 'timestamp'));
        setExtension(field.options, extension, rules.message);
      }
    }
  }

  const known = new Map<DescMessage, TimeCheck | undefined>();
  const checkOf = (descriptor: DescMessage): TimeCheck | undefined => {
    if (known.has(descriptor)) return known.get(descriptor);
    // A message that contains itself would be found here; ours do not.
    known.set(descriptor, undefined);
    const check = compile(descriptor, ranges, checkOf);
    known.set(descriptor, check);
    return check;
  };
  return { registry: createFileRegistry(copy), checkOf };
}

function fieldOf(descriptor: DescMessage, name: string): DescField {
  const field = descriptor.fields.find((candidate) => candidate.name === name);
  if (!field) throw new Error(`${descriptor.typeName} has no field ${name}`);
  return field;
}

function part(of: ReflectMessage, name: string): ReflectMessage | undefined {
  const field = fieldOf(of.desc, name);
  if (field.fieldKind !== 'message' || !of.isSet(field)) return undefined;
  return of.get(field);
}

/** The range, if the rules have one of the form this file knows: whole seconds, gte and lt, nothing else. */
function rangeIn(rules: ReflectMessage): Range | undefined {
  const timestamp = part(rules, 'timestamp');
  if (!timestamp) return undefined;
  const set = timestamp.desc.fields.filter((field) => timestamp.isSet(field)).map(({ name }) => name);
  const seconds = (name: string): bigint | undefined => {
    const bound = part(timestamp, name);
    const value = bound?.get(fieldOf(bound.desc, 'seconds'));
    return typeof value === 'bigint' ? value : undefined;
  };
  const [from, until] = [seconds('gte'), seconds('lt')];
  return set.length === 2 && from !== undefined && until !== undefined ? { from, until } : undefined;
}

function compile(
  descriptor: DescMessage,
  ranges: ReadonlyMap<string, Range>,
  checkOf: (descriptor: DescMessage) => TimeCheck | undefined,
): TimeCheck | undefined {
  const checks: ((values: Values, path: string, violations: FieldViolation[]) => void)[] = [];
  for (const field of descriptor.fields) {
    const { name, localName, oneof } = field;
    const range = ranges.get(`${descriptor.typeName}.${name}`);
    const inner = field.message ? (range ? inRange(range) : checkOf(field.message)) : undefined;
    if (!inner) continue;
    checks.push((values, path, violations) => {
      const value = oneof ? chosen(values[oneof.localName], localName) : values[localName];
      const here = path === '' ? name : `${path}.${name}`;
      if (Array.isArray(value)) {
        for (const [index, element] of value.entries()) {
          if (isMessage(element)) inner(element, `${here}[${index}]`, violations);
        }
      } else if (isMessage(value)) {
        inner(value, here, violations);
      }
    });
  }
  if (checks.length === 0) return undefined;
  return (message, path, violations) => {
    const values: Values = message;
    for (const check of checks) check(values, path, violations);
  };
}

type Values = Readonly<Record<string, unknown>>;

const isMessage = (value: unknown): value is Message =>
  typeof value === 'object' && value !== null && '$typeName' in value;

const chosen = (group: unknown, name: string): unknown =>
  typeof group === 'object' && group !== null && 'case' in group && 'value' in group && group.case === name
    ? group.value
    : undefined;

const text = (seconds: bigint): string => new Date(Number(seconds) * 1_000).toISOString();

const inRange =
  ({ from, until }: Range): TimeCheck =>
  (message, field, violations) => {
    const seconds = 'seconds' in message && typeof message.seconds === 'bigint' ? message.seconds : 0n;
    if (seconds >= from && seconds < until) return;
    const description = `must be from ${text(from)} up to, not including, ${text(until)}`;
    violations.push({ field, description, reason: 'timestamp.gte_lt' });
  };

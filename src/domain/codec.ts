/** Events as the store keeps them: a stable type name and proto3 JSON. */
import { type DomainEvent, type EventType, eventCodecs } from './events.ts';

const prefix = 'tallyback.events.v1.';

interface Codec {
  fromJSON(object: unknown): unknown;
  toJSON(message: unknown): unknown;
}

export const storedTypeName = (type: EventType): string => prefix + type;

/** The name without the package, also of a type that only a newer version knows. */
export const shortTypeName = (storedType: string): string =>
  storedType.startsWith(prefix) ? storedType.slice(prefix.length) : storedType;

const codecs = new Map<string, { readonly type: EventType; readonly codec: Codec }>(
  Object.entries(eventCodecs).map(([type, codec]) => [prefix + type, { type: type as EventType, codec }]),
);

export function encodeEvent(event: DomainEvent): { readonly type: string; readonly data: string } {
  const codec = eventCodecs[event.type] as Codec;
  return { type: prefix + event.type, data: JSON.stringify(codec.toJSON(event.data)) };
}

/** The event type of a stored type name; undefined for one this version does not know. */
export const eventTypeOf = (storedType: string): EventType | undefined => codecs.get(storedType)?.type;

/** The log holds an event that this version cannot read. */
export class UnreadableEvent extends Error {
  override readonly name = 'UnreadableEvent';
}

/**
 * Several readers see the same stored object; it is parsed once, and forgotten with it. Kept in the object itself,
 * because the garbage collector pays dearly for a WeakMap at these rates; with the object's own name on it, so that a
 * changed copy of the object is decoded for itself.
 */
const decoded = Symbol('decoded');

interface Stored {
  readonly type: string;
  readonly data: string;
  [decoded]?: { readonly of: object; readonly event: DomainEvent };
}

export function decodeEvent(stored: Stored): DomainEvent {
  const known = stored[decoded];
  if (known?.of === stored) return known.event;
  const entry = codecs.get(stored.type);
  if (!entry) throw new UnreadableEvent(`unknown event type ${stored.type}`);
  let data: unknown;
  try {
    data = entry.codec.fromJSON(JSON.parse(stored.data));
  } catch (cause) {
    throw new UnreadableEvent(`event of type ${stored.type} does not parse`, { cause });
  }
  const event = { type: entry.type, data } as DomainEvent;
  stored[decoded] = { of: stored, event };
  return event;
}

/** Events as they travel: JSON texts go and come as they are; what is too large for an append goes compressed. */
import { gunzipSync, gzipSync } from 'node:zlib';
import type {
  BatchAppendReq_ProposedMessage,
  ReadReq_Options_FilterOptions,
  ReadResp_ReadEvent_RecordedEvent,
  UUID as WireUuid,
} from '../../gen/event_store/client/streams.ts';
import { AppendTooLarge, LogDamaged, type NewEvent, type Position, type RecordedEvent } from '../port.ts';

/** A little below what servers take at once by default (1 MiB, MaxAppendSize). */
const largestAppend = 1_000_000;
/** Beyond this nothing is tried: compressing would hold up everybody else. */
const largestRaw = 16 * 1024 * 1024;
/** Only what is at least this large is compressed. */
const worthwhile = 4 * 1024;
const json = 'application/json';
const binary = 'application/octet-stream';

/** As the server counts it. */
const sizeOf = ({ data, customMetadata, metadata }: BatchAppendReq_ProposedMessage): number =>
  data.length + customMetadata.length + 2 * (metadata['type']?.length ?? 0);

/** Throws AppendTooLarge. */
export function encodeEvents(events: readonly NewEvent[]): BatchAppendReq_ProposedMessage[] {
  const messages = events.map((event): BatchAppendReq_ProposedMessage => ({
    id: { value: { $case: 'string', value: event.id } },
    metadata: { type: event.type, 'content-type': json },
    customMetadata: Buffer.from(event.metadata),
    data: Buffer.from(event.data),
  }));
  const total = messages.reduce((sum, message) => sum + sizeOf(message), 0);
  if (total <= largestAppend) return messages;
  if (total <= largestRaw) {
    const smaller = messages.map((message) =>
      message.data.length < worthwhile
        ? message
        : {
            ...message,
            metadata: { ...message.metadata, 'content-type': binary },
            data: gzipSync(message.data),
          },
    );
    if (smaller.reduce((sum, message) => sum + sizeOf(message), 0) <= largestAppend) return smaller;
  }
  throw new AppendTooLarge(`${total} bytes of events in one append; ${largestAppend} are taken, compressed`);
}

/** Whether an event is in the namespace, and not one that the server itself wrote there. */
export const isOurs = (event: ReadResp_ReadEvent_RecordedEvent, prefix: Buffer): boolean =>
  event.streamIdentifier?.streamName.subarray(0, prefix.length).equals(prefix) === true &&
  event.metadata['type']?.startsWith('$') !== true;

/** The event, if it is one of ours. Throws LogDamaged if it cannot be read. */
export function decodeEvent(
  event: ReadResp_ReadEvent_RecordedEvent,
  prefix: Buffer,
): RecordedEvent | undefined {
  const name = event.streamIdentifier?.streamName;
  if (!name || !isOurs(event, prefix)) return undefined;
  return {
    id: readUuid(event.id),
    type: event.metadata['type'] ?? '',
    data: readText(event),
    metadata: event.customMetadata.toString(),
    stream: name.toString('utf8', prefix.length),
    revision: Number(event.streamRevision),
    position: positionOf(event),
    recordedAt: readTicks(event.metadata['created'] ?? '0'),
  };
}

/** Lets the server leave out what is not in the namespace. `window`: see its users. */
export const namespaceFilter = (
  prefix: Buffer,
  window: number,
  checkpointIntervalMultiplier = 1,
): ReadReq_Options_FilterOptions => ({
  filter: { $case: 'streamIdentifier', value: { regex: '', prefix: [prefix.toString()] } },
  window: { $case: 'max', value: window },
  checkpointIntervalMultiplier,
});

export const positionOf = (event: ReadResp_ReadEvent_RecordedEvent): Position => ({
  commit: event.commitPosition,
  prepare: event.preparePosition,
});

function readText({ metadata, data, id, streamIdentifier }: ReadResp_ReadEvent_RecordedEvent): string {
  const compressed = metadata['content-type'] !== json && data[0] === 0x1f && data[1] === 0x8b;
  try {
    return (compressed ? gunzipSync(data, { maxOutputLength: 64 * 1024 * 1024 }) : data).toString();
  } catch (cause) {
    const stream = streamIdentifier?.streamName.toString() ?? '';
    throw new LogDamaged(`Event ${readUuid(id)} of stream "${stream}" cannot be decompressed`, { cause });
  }
}

/** Ticks are 100 ns since 1970; we keep whole milliseconds. */
const readTicks = (ticks: string): Date => new Date(Number(ticks.slice(0, -4)));

function readUuid(id: WireUuid | undefined): string {
  if (id?.value?.$case === 'string') return id.value.value;
  if (id?.value?.$case !== 'structured') return '';
  const { mostSignificantBits: high, leastSignificantBits: low } = id.value.value;
  const hex = [high, low].map((half) => BigInt.asUintN(64, half).toString(16).padStart(16, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

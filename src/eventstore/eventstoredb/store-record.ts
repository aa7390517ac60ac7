/**
 * What a log keeps about itself: its id, and where it was copied from. In a stream of its own beside those of the
 * namespace, so that no subscriber sees it. The first event is written by whoever opens the log first.
 */
import type { Edges } from '../edges.ts';
import {
  CopyRefused,
  EventStoreUnavailable,
  type LogOrigin,
  logStart,
  noStream,
  type Position,
  type RecordedEvent,
} from '../port.ts';
import type { AppendChannel } from './append-channel.ts';
import { unlessUnavailable } from './errors.ts';
import type { Reader } from './reader.ts';

const opened = 'tallyback.LogOpened';
const copied = 'tallyback.LogCopied';

const anyName = Buffer.alloc(0);

export interface StoreRecord {
  readonly id: string;
  /** All events of the log lie behind it. */
  readonly position: Position;
  readonly origin: LogOrigin | undefined;
}

interface Parts {
  readonly reader: Reader;
  readonly appends: AppendChannel;
  readonly edges: Edges;
  readonly namespace: string;
}

/** Reads the record of a namespace; makes it if there is none (and no event either), then with this origin. */
export async function ensureStoreRecord(
  parts: Parts,
  options: { readonly originStoreId: string | undefined; readonly mustExist: boolean | undefined },
): Promise<StoreRecord> {
  const { reader, edges, namespace } = parts;
  const there = await readStoreRecord(reader, namespace);
  if (there) return there;
  if (options.mustExist) throw new CopyRefused(`there is no log in the namespace "${namespace}"`);
  // On a large server shared with others the answer may not come in time; then there is most likely nothing.
  const found = await reader
    .logPage(logStart, { events: 1, bytes: Infinity }, 'ours')
    .catch(unlessUnavailable);
  if (found && found.events.length > 0) {
    // Another one may have begun the log meanwhile, and written to it.
    const begun = await readStoreRecord(reader, namespace);
    if (begun) return begun;
    throw new Error(`the namespace "${namespace}" holds events, but no record of a log of Tallyback`);
  }
  const data = JSON.stringify({ storeId: edges.newId(), copiedFrom: options.originStoreId });
  await write(parts, noStream, opened, data);
  // Of several that open it for the first time one has won.
  const made = await readStoreRecord(reader, namespace);
  if (!made) throw new EventStoreUnavailable('EventStoreDB: the record of the log is not there yet');
  return made;
}

/** Notes that the copy is complete. */
export async function completeCopy(parts: Parts): Promise<void> {
  await write(parts, 0, copied, '{}');
  const record = await readStoreRecord(parts.reader, parts.namespace);
  if (!record?.origin?.complete) throw new Error('the record of the log is not as the copy left it');
}

/** A conflict is no error here: whoever writes looks afterwards at what there is. */
async function write(
  { appends, edges, namespace }: Parts,
  expectedRevision: number,
  type: string,
  data: string,
): Promise<void> {
  const events = [{ id: edges.newId(), type, data, metadata: '{}' }];
  await appends.append(namespace, { stream: namespace, expectedRevision, events });
}

async function readStoreRecord(reader: Reader, namespace: string): Promise<StoreRecord | undefined> {
  const { events } = await reader.streamPage(namespace, 0, { events: 10, bytes: 1024 * 1024 }, anyName);
  const first = events.find((event) => event.type === opened);
  if (!first) return undefined;
  const { storeId, copiedFrom } = readFields(first);
  if (storeId === undefined) throw new Error(`the stream "${namespace}" is not a record of Tallyback`);
  const complete = events.some((event) => event.type === copied);
  const { position } = first;
  return {
    id: storeId,
    position,
    origin: copiedFrom === undefined ? undefined : { storeId: copiedFrom, complete },
  };
}

function readFields({ data }: RecordedEvent): { readonly storeId?: string; readonly copiedFrom?: string } {
  const raw: unknown = JSON.parse(data);
  const fields = new Map<string, unknown>(typeof raw === 'object' && raw !== null ? Object.entries(raw) : []);
  const [storeId, copiedFrom] = [fields.get('storeId'), fields.get('copiedFrom')];
  return {
    ...(typeof storeId === 'string' ? { storeId } : {}),
    ...(typeof copiedFrom === 'string' ? { copiedFrom } : {}),
  };
}

/** Reads a stream: whole, or from its snapshot on. */
import type { EventStore } from '../eventstore/port.ts';
import type { AggregateCommand } from './commands.ts';
import { LoadedStream } from './loaded-stream.ts';
import type { Snapshots } from './snapshots.ts';

/**
 * Most streams are short, and nobody asks for a snapshot of those: the log is read first, and only when it turns out
 * to be long is there a look at the snapshots. If that is in vain, the reading under way goes on.
 */
export async function loadStream(
  store: EventStore,
  kind: AggregateCommand['aggregate'],
  stream: string,
  snapshots?: Snapshots,
): Promise<LoadedStream> {
  const loaded = new LoadedStream(kind);
  for await (const recorded of store.readStream(stream)) {
    if (recorded.revision === snapshots?.askedAfter) {
      const restored = await snapshots.restore(kind, stream);
      if (restored) return restored;
    }
    loaded.read(recorded);
  }
  return loaded;
}

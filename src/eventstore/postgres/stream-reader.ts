/** Reads one stream in pages, fetching the next page while the current one is handed out. */
import type { RecordedEvent } from '../port.ts';
import type { Page } from './rows.ts';
import { orAborted } from '../wakeup.ts';

/**
 * `page` gives the events from a revision on. Throws what it throws, and the signal's reason when it aborts:
 * ending quietly would pass off a part of the stream as the whole.
 */
export async function* streamEvents(
  page: (from: number) => Promise<Page>,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<RecordedEvent, void, undefined> {
  signal.throwIfAborted();
  let next: Promise<Page> | undefined = page(from);
  while (next) {
    const current: Page | undefined = await orAborted(next, signal);
    signal.throwIfAborted();
    const last: RecordedEvent | undefined = current?.events.at(-1);
    next = current?.full && last ? page(last.revision + 1) : undefined;
    // The reader may leave before it is wanted; until then its failure must not count as unhandled.
    next?.catch(() => undefined);
    for (const event of current?.events ?? []) {
      yield event;
      signal.throwIfAborted();
    }
  }
}

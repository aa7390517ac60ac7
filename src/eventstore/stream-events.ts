/**
 * Reads one stream in pages, fetching the next page while the current one is handed out. The first one is small: most
 * streams are short, and of a long one that has a snapshot no more is wanted.
 */
import type { RecordedEvent } from './port.ts';
import { orAborted } from './wakeup.ts';

/** Some events of a stream in order, and whether the page was cut short by its limits (then there may be more). */
export interface StreamPage {
  readonly events: readonly RecordedEvent[];
  readonly full: boolean;
}

/** What the first page holds, of what the others do. */
const firstShare = 1 / 4;

/** Events of the nth page, from 0 on, where the others hold this many. */
export const pageEvents = (most: number, nth: number): number => (nth === 0 ? most * firstShare : most);

/**
 * `page` gives the events from a revision on; it is told the how manieth page it is. Throws what it throws, and the signal's reason when it aborts:
 * ending quietly would pass off a part of the stream as the whole.
 */
export async function* streamEvents(
  page: (from: number, nth: number) => Promise<StreamPage>,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<RecordedEvent, void, undefined> {
  signal.throwIfAborted();
  let next: Promise<StreamPage> | undefined = page(from, 0);
  for (let nth = 1; next; nth++) {
    const current: StreamPage | undefined = await orAborted(next, signal);
    signal.throwIfAborted();
    const events: readonly RecordedEvent[] = current?.events ?? [];
    const last = current?.full ? events.at(-1) : undefined;
    next = undefined;
    for (const [n, event] of events.entries()) {
      if (last && n === events.length >> 1) {
        next = page(last.revision + 1, nth);
        // The reader may leave before it is wanted; until then its failure must not count as unhandled.
        next.catch(() => undefined);
      }
      yield event;
      signal.throwIfAborted();
    }
  }
}

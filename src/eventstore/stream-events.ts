/** Reads one stream in pages, fetching the next page while the current one is handed out. */
import type { RecordedEvent } from './port.ts';
import { orAborted } from './wakeup.ts';

/** Some events of a stream in order, and whether the page was cut short by its limits (then there may be more). */
export interface StreamPage {
  readonly events: readonly RecordedEvent[];
  readonly full: boolean;
}

/**
 * `page` gives the events from a revision on. Throws what it throws, and the signal's reason when it aborts:
 * ending quietly would pass off a part of the stream as the whole.
 */
export async function* streamEvents(
  page: (from: number) => Promise<StreamPage>,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<RecordedEvent, void, undefined> {
  signal.throwIfAborted();
  let next: Promise<StreamPage> | undefined = page(from);
  while (next) {
    const current: StreamPage | undefined = await orAborted(next, signal);
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

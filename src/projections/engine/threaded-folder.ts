/**
 * Folds in several threads, each of which has the rows of one partition in its memory. A batch is folded when every
 * thread has folded its part of it: so a line knows nothing of partitions, its checkpoint is always the end of a
 * prefix of the log, and what some threads are ahead by is seen by nobody. A row is always in the same thread, which
 * gets its events in log order.
 *
 * What a thread cannot fold is folded once more here, all of the batches, by the same code as without threads: up to
 * the event that fails, with the errors and the parked events there are without threads. Then, or if a thread ends,
 * the line is started again from the checkpoint, as after any failure.
 */
import type { Position } from '../../eventstore/port.ts';
import { type EventBatch, handledTypes, type Slot } from './fold-batch.ts';
import type { FoldAnswer, FoldStart, FoldTask } from './fold-thread.ts';
import { type FoldedBatches, type Folder, type FolderOptions, LocalFolder } from './folder.ts';
import { packEvents, unpackRows } from './packing.ts';
import { partitionOf } from './partition.ts';
import type { ParkedEvent } from './storage.ts';

/** A thread, seen from outside. */
export interface FoldThread {
  /** Rejects if the thread ends. */
  fold(task: FoldTask): Promise<FoldAnswer>;
  /** Ends it, whatever it does. Never rejects. */
  close(): Promise<void>;
}

export interface FoldThreads {
  /** For each read model that says how it may be partitioned. */
  readonly count: number;
  open(start: FoldStart): FoldThread;
}

/** In threads if there are any, and the read model says how. */
export const openFolder = (options: FolderOptions, threads: FoldThreads | undefined): Folder =>
  threads && threads.count > 0 && options.model.partitionBy
    ? new ThreadedFolder(options, threads)
    : new LocalFolder(options);

type Events = EventBatch['events'][number][];

class ThreadedFolder implements Folder {
  readonly #options: FolderOptions;
  readonly #source: FoldThreads;
  readonly #handles: (storedType: string) => boolean;
  readonly #threads = new Map<number, FoldThread>();

  constructor(options: FolderOptions, source: FoldThreads) {
    this.#options = options;
    this.#source = source;
    this.#handles = handledTypes(options.model);
  }

  async fold(batches: readonly EventBatch[], from: Position, committed: Position): Promise<FoldedBatches> {
    const through = batches.at(-1)?.through ?? from;
    const answers = await Promise.all(
      this.#deal(batches).map(([partition, events]) =>
        this.#thread(partition).fold({ events: packEvents(events), through, committed }),
      ),
    );
    const changed = new Map<string, Slot>();
    const parked = new Map<string, ParkedEvent>();
    for (const answer of answers) {
      if ('failed' in answer) return this.#failed(answer.failed, batches, from);
      for (const [text, slot] of unpackRows(this.#options.model.table, answer.rows)) {
        // Whether the table has what is on its way there is known here alone.
        const before = this.#options.unwritten(text);
        changed.set(text, before ? { ...slot, stored: before.stored } : slot);
      }
      // What not even its keys are known of is parked by every thread that has got it.
      for (const event of answer.parked) parked.set(`${event.scope} ${event.position.commit}`, event);
    }
    this.#options.parking.note(parked.values());
    return { changed, parked: [...parked.values()], through, failure: undefined };
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#threads.values(), (thread) => thread.close()));
  }

  /** Opened with its first events: a line that has nothing to do costs no threads. */
  #thread(partition: number): FoldThread {
    const { generation, cachedRows, parking, fromNothing } = this.#options;
    const { count: partitions } = this.#source;
    const thread =
      this.#threads.get(partition) ??
      this.#source.open({
        generation,
        partition,
        partitions,
        cachedRows: Math.ceil(cachedRows / partitions),
        fromNothing,
        scopes: parking.scopes,
        parkAt: parking.parkAt,
      });
    this.#threads.set(partition, thread);
    return thread;
  }

  /** The events of each partition that has any. */
  #deal(batches: readonly EventBatch[]): readonly (readonly [partition: number, events: Events])[] {
    const { count } = this.#source;
    const handled = batches.flatMap(({ events }) => events.filter(({ type }) => this.#handles(type)));
    const byStream = this.#options.model.partitionBy === 'stream';
    const dealt = Array.from({ length: count }, (_, n) => [n, byStream ? [] : handled] as const);
    if (byStream) for (const event of handled) dealt[partitionOf(event.stream, count)]?.[1].push(event);
    return dealt.filter(([, events]) => events.length > 0);
  }

  async #failed(text: string, batches: readonly EventBatch[], from: Position): Promise<FoldedBatches> {
    const folded = await new LocalFolder({ ...this.#options, fromNothing: false }).fold(batches, from);
    if (folded.failure) return folded;
    throw new Error(`a thread could not fold what can be folded: ${text}`);
  }
}

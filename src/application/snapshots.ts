/**
 * Snapshots of long streams, so that a command on one that is not in memory does not read ten thousand events.
 *
 * They are a cache and nothing else: a command gets the same outcome with and without. Whatever is wrong with one
 * (missing, damaged, of another version, log or history: sealed-snapshot.ts) or with where they lie (down, slow), the
 * stream is read whole; nobody is told but the log of the process, once in a while.
 */
import type { EventStore, RecordedEvent } from '../eventstore/port.ts';
import { snapshotVersions } from './aggregates.ts';
import type { AggregateCommand } from './commands.ts';
import { LoadedStream } from './loaded-stream.ts';
import { copy, pack, sealOf, unpack } from './sealed-snapshot.ts';
import type { Snapshot, SnapshotStore } from './snapshot-store.ts';
import type { Timing } from './timing.ts';

export interface SnapshotsOptions {
  readonly snapshotStore: SnapshotStore;
  readonly store: EventStore;
  readonly timing: Timing;
  readonly log: (line: string) => void;
  /**
   * A snapshot is made this many events after the last one; default 500. On long streams more: a tenth of all its
   * events, so that what is spent on snapshots stays in proportion to what is stored.
   */
  readonly every?: number;
  /** Events of a stream that are read before anybody looks for a snapshot; default 100. */
  readonly askedAfter?: number;
  /** Longest to wait for a snapshot, in milliseconds; default 1,000. */
  readonly patienceMs?: number;
}

/** Milliseconds for which no snapshot is asked for after that has failed, and between two lines in the log. */
const rest = 10_000;
const quiet = 60_000;

export class Snapshots {
  readonly askedAfter: number;
  readonly #options: SnapshotsOptions;
  #writing: Promise<void> | undefined;
  #restUntil = -Infinity;
  #quietUntil = -Infinity;
  #closed = false;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.askedAfter = options.askedAfter ?? 100;
  }

  /** The stream as its snapshot and what was stored since make it; undefined: read it whole. Never rejects. */
  async restore(kind: AggregateCommand['aggregate'], stream: string): Promise<LoadedStream | undefined> {
    try {
      const snapshot = await this.#find(stream);
      if (!snapshot) return undefined;
      let restored: LoadedStream | undefined;
      for await (const recorded of this.#options.store.readStream(stream, { from: snapshot.revision })) {
        if (restored) restored.read(recorded);
        else restored = await this.#open(kind, snapshot, recorded);
        if (!restored) return undefined;
      }
      return restored;
    } catch (error) {
      // A log that cannot be read is met again by whoever reads it whole.
      this.#complain('a stream is read whole', error);
      return undefined;
    }
  }

  /**
   * Makes a snapshot if it is time for one. Resolves once the stream may change again; the writing goes on behind,
   * one at a time: what comes meanwhile is left for a later command. Never rejects.
   */
  async keep(stream: string, loaded: LoadedStream): Promise<void> {
    const { every = 500, timing } = this.#options;
    const { kind, revision, eventId } = loaded;
    const due = loaded.snapshotRevision + Math.max(every, revision / 10);
    if (revision < due || this.#closed || this.#writing) return;
    // Whatever becomes of it: one that fails is not tried again with every command.
    loaded.snapshotRevision = revision;
    // Copying takes its time, so the outcomes go out first.
    const copied = timing.sleep(0).then(() => copy(loaded.memory));
    this.#writing = copied
      .then((memory) => this.#write(stream, kind, { revision, id: eventId }, memory))
      .catch((error: unknown) => this.#complain('a snapshot was not kept', error))
      .finally(() => (this.#writing = undefined));
    await copied.catch(() => undefined);
  }

  /** Makes no more of them, and waits for the one being written. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
  }

  async #find(stream: string): Promise<Snapshot | undefined> {
    const { snapshotStore, timing, patienceMs = 1_000 } = this.#options;
    if (timing.monotonic() < this.#restUntil) return undefined;
    const answered = new AbortController();
    try {
      const answer = await Promise.race([
        snapshotStore.load(stream).then((snapshot) => ({ snapshot })),
        timing.sleep(patienceMs, answered.signal),
      ]);
      if (!answer) throw new Error(`no snapshot came within ${patienceMs} ms`);
      return answer.snapshot;
    } catch (error) {
      this.#restUntil = timing.monotonic() + rest;
      throw error;
    } finally {
      answered.abort();
    }
  }

  async #open(
    kind: AggregateCommand['aggregate'],
    { bytes, seal }: Snapshot,
    event: RecordedEvent,
  ): Promise<LoadedStream | undefined> {
    if (!sealOf(bytes, snapshotVersions[kind], this.#options.store.id, event).equals(seal)) return undefined;
    return LoadedStream.restored(kind, await unpack(bytes), event);
  }

  async #write(
    stream: string,
    kind: AggregateCommand['aggregate'],
    { revision, id }: Pick<RecordedEvent, 'revision' | 'id'>,
    copied: Buffer,
  ): Promise<void> {
    const { snapshotStore, store } = this.#options;
    for await (const event of store.readStream(stream, { from: revision })) {
      // The state was not made from what the log holds now.
      if (event.revision !== revision || event.id !== id) return;
      const bytes = await pack(copied);
      const seal = sealOf(bytes, snapshotVersions[kind], store.id, event);
      return snapshotStore.save({ stream, revision, bytes, seal });
    }
  }

  #complain(what: string, error: unknown): void {
    const now = this.#options.timing.monotonic();
    if (now < this.#quietUntil) return;
    this.#quietUntil = now + quiet;
    this.#options.log(`snapshots: ${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

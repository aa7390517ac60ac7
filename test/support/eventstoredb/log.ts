/** The log all nodes share: every event by position, every stream by revision, and what may be written next. */
import { randomUUID } from 'node:crypto';
import { checkAppend, type ExpectedRevision, RecentIds } from './check-append.ts';
import { EventType, type ProposedEvent, StoredEvent, tombstoneRevision } from './stored-event.ts';
import { parseMetadata, Stream } from './stream.ts';

export type WriteOutcome =
  /** `position` is missing for a replay of what can no longer be read. */
  | { readonly kind: 'success'; readonly lastRevision: number; readonly position: number | undefined }
  | { readonly kind: 'wrong-expected-version'; readonly actual: number }
  | { readonly kind: 'deleted' };

const softDeletion = '{"$tb":9223372036854775807}';

export class EventLog {
  /** In order of position. Replaced by a scavenge, which raises `generation`. */
  all: StoredEvent[] = [];
  generation = 0;
  /** Where the next record begins. */
  end = 0;
  readonly now: () => number;
  /** Whether to answer a replay as a server does that cannot read the original any more. */
  readonly #replaysWithoutPosition: () => boolean;
  readonly #streams = new Map<string, Stream>();
  readonly #types = new Map<string, EventType>();
  readonly #recentIds = new RecentIds();
  /** Where scavenged records began: positions stay good after a scavenge. */
  readonly #formerPositions = new Set<number>();
  readonly #listeners = new Set<() => void>();

  constructor(options: { readonly now: () => number; readonly replaysWithoutPosition: () => boolean }) {
    this.now = options.now;
    this.#replaysWithoutPosition = options.replaysWithoutPosition;
    // What a new server writes before any user does.
    this.writeEpoch();
    this.#writeMetadata('$$$stats-127.0.0.1:2113', '{"$maxAge":86400}');
    this.#write(this.#stream('$users'), [proposed('$User', '{"loginName":"admin"}')]);
  }

  stream(name: string): Stream | undefined {
    return this.#streams.get(name);
  }

  /** Called after every write, before its answer is sent. */
  onWrite(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  append(name: string, expected: ExpectedRevision, events: readonly ProposedEvent[]): WriteOutcome {
    const check = this.#check(
      name,
      expected,
      events.map((event) => event.id),
    );
    if (check.kind === 'deleted') return check;
    if (check.kind === 'wrong-expected-version') return { ...check, actual: this.#lastRevision(name) };
    if (check.kind === 'replay') {
      const event = this.stream(name)?.visible(check.lastRevision, this.now());
      return {
        kind: 'success',
        lastRevision: check.lastRevision,
        position: this.#replaysWithoutPosition() ? undefined : event?.position,
      };
    }
    if (events.length === 0) {
      // Checked, and leaves a record that is no event.
      const position = this.end;
      this.end += recordOverhead;
      return { kind: 'success', lastRevision: this.#lastRevision(name), position };
    }
    const stream = this.#stream(name);
    const original = name.startsWith('$$') ? this.stream(name.slice(2)) : undefined;
    const undeleteOriginal = original?.isSoftDeleted ?? false;
    const reopenFrom = stream.lastRevision + 1;
    const position = this.#write(stream, events);
    if (check.undelete) this.#reopen(stream, reopenFrom);
    if (original && undeleteOriginal) this.#reopen(original, original.lastRevision + 1);
    this.#written();
    return { kind: 'success', lastRevision: stream.lastRevision, position };
  }

  /** Hides what is there; the stream can be written to again. */
  softDelete(name: string, expected: ExpectedRevision): WriteOutcome {
    const check = this.#checkDelete(name, expected);
    if (check) return check;
    if (this.#lastRevision(name) < 0 && this.#lastRevision(`$$${name}`) < 0) {
      return { kind: 'wrong-expected-version', actual: -1 };
    }
    const position = this.#writeMetadata(`$$${name}`, softDeletion);
    this.#written();
    return { kind: 'success', lastRevision: -1, position };
  }

  /** Closes the stream for good. */
  tombstone(name: string, expected: ExpectedRevision): WriteOutcome {
    const check = this.#checkDelete(name, expected);
    if (check) return check;
    const stream = this.#stream(name);
    const event = this.#record(stream, tombstoneRevision, proposed('$streamDeleted', ''));
    stream.tombstone = event;
    this.#written();
    return { kind: 'success', lastRevision: -1, position: event.position };
  }

  /** Really removes what stream metadata and deletions hide. */
  scavenge(): void {
    const now = this.now();
    const removed = new Set<StoredEvent>();
    for (const stream of this.#streams.values()) {
      const gone = stream.scavenge(now);
      for (const event of gone) removed.add(event);
      if (!stream.tombstone) continue;
      for (const event of this.stream(`$$${stream.name}`)?.removeAll() ?? []) removed.add(event);
    }
    for (const { position } of removed) this.#formerPositions.add(position);
    this.all = this.all.filter((event) => !removed.has(event));
    this.generation++;
  }

  /** A new leader begins an epoch. */
  writeEpoch(): void {
    this.#write(this.#stream('$epoch-information'), [proposed('$epoch-information', '{}')]);
    this.#written();
  }

  /** As a node does that restarts or becomes the leader. */
  forgetRecentIds(): void {
    this.#recentIds.clear();
  }

  /** Index in `all` of the first event at or after this position. */
  indexFrom(position: number): number {
    let [low, high] = [0, this.all.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.all[middle]?.position ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether a record begins here, or something was or will be written. */
  isBoundary(position: number): boolean {
    if (position === 0 || position >= this.end || this.#formerPositions.has(position)) return true;
    const index = this.indexFrom(position);
    return this.all[index]?.position === position || this.all[index - 1]?.end === position;
  }

  #check(name: string, expected: ExpectedRevision, ids: readonly string[]) {
    // Metadata may be there before the stream, and say that it is deleted.
    const stream = this.#lastRevision(`$$${name}`) < 0 ? this.stream(name) : this.#stream(name);
    return checkAppend(stream, expected, ids, {
      recentIds: this.#recentIds,
      hasMetadata: this.#lastRevision(`$$${name}`) >= 0,
    });
  }

  #checkDelete(name: string, expected: ExpectedRevision): WriteOutcome | undefined {
    const { kind } = this.#check(name, expected, [randomUUID()]);
    if (kind === 'deleted') return { kind };
    if (kind === 'wrong-expected-version') return { kind, actual: this.#lastRevision(name) };
    return undefined;
  }

  #lastRevision(name: string): number {
    return this.stream(name)?.lastRevision ?? -1;
  }

  #stream(name: string): Stream {
    let stream = this.#streams.get(name);
    if (!stream) {
      stream = new Stream(name);
      this.#streams.set(name, stream);
      // A stream may have had metadata before its first event.
      const metadata = this.#streams.get(`$$${name}`);
      const latest = metadata?.at(metadata.lastRevision);
      if (latest) stream.metadata = parseMetadata(latest.data);
    }
    return stream;
  }

  #reopen(stream: Stream, from: number): void {
    const metadata = this.stream(`$$${stream.name}`);
    const latest: unknown = JSON.parse(metadata?.at(metadata.lastRevision)?.data.toString('utf8') ?? '{}');
    this.#writeMetadata(`$$${stream.name}`, JSON.stringify({ ...Object(latest), $tb: from }));
  }

  #writeMetadata(name: string, json: string): number {
    return this.#write(this.#stream(name), [proposed('$metadata', json)]);
  }

  /** Returns the position of the last event. */
  #write(stream: Stream, events: readonly ProposedEvent[]): number {
    let last: StoredEvent | undefined;
    for (const event of events) {
      last = this.#record(stream, stream.lastRevision + 1, event);
      stream.push(last);
      this.#recentIds.add(last.id, stream, last.revision);
    }
    if (last && stream.name.startsWith('$$')) {
      const original = this.stream(stream.name.slice(2));
      if (original) original.metadata = parseMetadata(last.data);
    }
    return last?.position ?? this.end;
  }

  #record(stream: Stream, revision: number, event: ProposedEvent): StoredEvent {
    const position = this.end;
    this.end +=
      recordOverhead + stream.name.length + event.type.length + event.data.length + event.metadata.length;
    const at = { revision, position, end: this.end, created: this.now() };
    const stored = new StoredEvent(stream, this.#type(event), event, at);
    this.all.push(stored);
    return stored;
  }

  #type({ type, isJson }: ProposedEvent): EventType {
    const key = isJson ? `j${type}` : `b${type}`;
    let known = this.#types.get(key);
    if (!known) this.#types.set(key, (known = new EventType(type, isJson)));
    return known;
  }

  #written(): void {
    for (const listener of this.#listeners) listener();
  }
}

const proposed = (type: string, json: string): ProposedEvent => ({
  id: randomUUID(),
  type,
  isJson: true,
  data: Buffer.from(json),
  metadata: Buffer.alloc(0),
});

/** What a record takes beside its texts. */
const recordOverhead = 87;

/** One stream: its events by revision, and what its metadata hides of them. */
import { bytesField } from './proto.ts';
import type { StoredEvent } from './stored-event.ts';

interface StreamMetadata {
  readonly maxCount?: number;
  readonly truncateBefore?: number;
  /** Seconds. */
  readonly maxAge?: number;
}

/** `$tb` of a soft-deleted stream is the largest int64. */
const softDeleted = 9.2e18;

export class Stream {
  readonly name: string;
  /** The field `stream_identifier` of a recorded event. */
  readonly identifier: Buffer;
  tombstone: StoredEvent | undefined;
  metadata: StreamMetadata = {};
  /** Revision of `#events[0]`: scavenging removes from the front. */
  #base = 0;
  #events: StoredEvent[] = [];

  constructor(name: string) {
    this.name = name;
    this.identifier = bytesField(2, bytesField(3, name));
    // A metadata stream shows its latest event only.
    if (name.startsWith('$$')) this.metadata = { maxCount: 1 };
  }

  /** -1 if it has none. */
  get lastRevision(): number {
    return this.#base + this.#events.length - 1;
  }

  get isSoftDeleted(): boolean {
    return (this.metadata.truncateBefore ?? 0) >= softDeleted;
  }

  push(event: StoredEvent): void {
    this.#events.push(event);
  }

  /** Also if it is hidden, but not if it was scavenged. */
  at(revision: number): StoredEvent | undefined {
    return this.#events[revision - this.#base];
  }

  /** The first revision that reads show. */
  firstVisible(now: number): number {
    const { maxCount, truncateBefore = 0, maxAge } = this.metadata;
    let first = Math.max(this.#base, truncateBefore);
    if (maxCount !== undefined) first = Math.max(first, this.lastRevision - maxCount + 1);
    if (maxAge === undefined) return first;
    const oldest = now - maxAge * 1_000;
    while (first <= this.lastRevision && (this.at(first)?.created ?? 0) < oldest) first++;
    return first;
  }

  /** What a read of one event by revision finds. */
  visible(revision: number, now: number): StoredEvent | undefined {
    if (this.tombstone || this.isSoftDeleted || revision < this.firstVisible(now)) return undefined;
    return this.at(revision);
  }

  /** Removes what is hidden, but never the last event: revisions go on from it. */
  scavenge(now: number): readonly StoredEvent[] {
    const keep = Math.min(this.firstVisible(now), this.lastRevision);
    return this.#removeBefore(this.tombstone ? this.lastRevision + 1 : keep);
  }

  /** The metadata of a tombstoned stream goes with it. */
  removeAll(): readonly StoredEvent[] {
    return this.#removeBefore(this.lastRevision + 1);
  }

  #removeBefore(revision: number): readonly StoredEvent[] {
    const count = Math.max(0, revision - this.#base);
    this.#base += count;
    return this.#events.splice(0, count);
  }
}

/** A malformed document counts as none. */
export function parseMetadata(json: Buffer): StreamMetadata {
  try {
    const parsed: unknown = JSON.parse(json.toString('utf8'));
    const get = (key: string): number | undefined => {
      const value: unknown =
        typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, key) : undefined;
      return typeof value === 'number' ? value : undefined;
    };
    const [maxCount, truncateBefore, maxAge] = [get('$maxCount'), get('$tb'), get('$maxAge')];
    return {
      ...(maxCount === undefined ? {} : { maxCount }),
      ...(truncateBefore === undefined ? {} : { truncateBefore }),
      ...(maxAge === undefined ? {} : { maxAge }),
    };
  } catch {
    return {};
  }
}

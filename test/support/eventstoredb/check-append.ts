/** Optimistic concurrency and idempotency, as the server's index decides them. */
import type { Stream } from './stream.ts';

export type ExpectedRevision = number | 'any' | 'no_stream' | 'stream_exists';

export type AppendCheck =
  | { readonly kind: 'write'; readonly undelete: boolean }
  /** All of it is there already. */
  | { readonly kind: 'replay'; readonly lastRevision: number }
  | { readonly kind: 'wrong-expected-version' }
  | { readonly kind: 'deleted' };

const wrong: AppendCheck = { kind: 'wrong-expected-version' };
const write: AppendCheck = { kind: 'write', undelete: false };

export function checkAppend(
  stream: Stream | undefined,
  expected: ExpectedRevision,
  ids: readonly string[],
  context: { readonly recentIds: RecentIds; readonly hasMetadata: boolean },
): AppendCheck {
  const current = stream?.lastRevision ?? -1;
  if (stream?.tombstone) return { kind: 'deleted' };
  if (expected === 'stream_exists') {
    if (stream?.isSoftDeleted) return { kind: 'deleted' };
    if (current < 0 && !context.hasMetadata) return wrong;
  }
  const undelete = stream?.isSoftDeleted ?? false;
  if (stream === undefined)
    return expected === 'any' || expected === 'no_stream' || expected === 'stream_exists' ? write : wrong;
  if (expected === 'any' || expected === 'stream_exists')
    return checkWeakly(stream, ids, context.recentIds, undelete);

  const revision = expected === 'no_stream' ? -1 : expected;
  if (revision > current) return wrong;
  // Also when an id is there already: only an expectation that the stream is past asks about ids.
  if (revision === current) return { kind: 'write', undelete };
  for (const [n, id] of ids.entries()) {
    const there = revision + 1 + n;
    if (context.recentIds.revisionOf(stream, id) === there || stream.at(there)?.id === id) continue;
    return n === 0 && revision === -1 && undelete ? { kind: 'write', undelete } : wrong;
  }
  return ids.length === 0 ? wrong : { kind: 'replay', lastRevision: revision + ids.length };
}

function checkWeakly(
  stream: Stream,
  ids: readonly string[],
  recentIds: RecentIds,
  undelete: boolean,
): AppendCheck {
  let lastRevision = -1;
  for (const [n, id] of ids.entries()) {
    const there = recentIds.revisionOf(stream, id);
    if (there === undefined) return n === 0 ? { kind: 'write', undelete } : wrong;
    lastRevision = there;
  }
  return ids.length === 0 ? { kind: 'write', undelete } : { kind: 'replay', lastRevision };
}

/** What a node remembers of the ids it wrote: bounded, keyed by id alone, gone with the process. */
export class RecentIds {
  /** Two generations: to delete the oldest entry of one large map each time is slow. */
  #young = new Map<string, Entry>();
  #old = new Map<string, Entry>();

  /** The latest stream that an id was written to wins. */
  add(id: string, stream: Stream, revision: number): void {
    this.#young.set(id, { stream, revision });
    if (this.#young.size < generationSize) return;
    this.#old = this.#young;
    this.#young = new Map();
  }

  revisionOf(stream: Stream, id: string): number | undefined {
    const entry = this.#young.get(id) ?? this.#old.get(id);
    return entry?.stream === stream ? entry.revision : undefined;
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}

interface Entry {
  readonly stream: Stream;
  readonly revision: number;
}

/** The server remembers 8 MiB of them, at what an entry of a middling stream name weighs. */
const generationSize = 50_000;

/**
 * Copies a log into an empty store: every event, in the order of the log, with its id, type, texts, stream and
 * revision. What a position is differs from store to store; nothing else does.
 *
 *   comparing   both logs are read side by side from where they are known to be equal, to the end of the target
 *   copying     what the source has beyond that goes over, one append at a time
 *   … and so on, until a comparison ends at the end of both: then the copy says that it is complete
 *
 * So the comparison is what finds the place to go on from after an interruption, what follows a source that still
 * grows, and the proof at the end; nothing is complete that has not been read back and compared.
 *
 * One append at a time, because a log has one order: an event may go only when all before it are known to be stored.
 * What became of an append that was not answered is found out by sending the same again.
 */
import { lengthOf } from './check-append.ts';
import { backoff, type Edges, systemEdges } from './edges.ts';
import { LogReader } from './log-reader.ts';
import { errorText, silentLog, type StoreLog } from './log.ts';
import {
  AppendTooLarge,
  type CopyTarget,
  type EventStore,
  EventStoreUnavailable,
  logStart,
  type NewEvent,
  type Position,
  type RecordedEvent,
} from './port.ts';
import { orAborted } from './wakeup.ts';

export interface CopyLogOptions {
  /** Nothing should be written to it any more; what is, is copied too, until there is nothing more. */
  readonly source: EventStore;
  readonly target: CopyTarget;
  /** Aborted: the copy stays as far as it is; the same call goes on from there. */
  readonly signal: AbortSignal;
  /** After every step. */
  readonly onProgress?: (progress: CopyProgress) => void;
  readonly log?: StoreLog;
  readonly edges?: Edges;
}

export interface CopyProgress {
  readonly phase: 'comparing' | 'copying';
  /** How far in the source. */
  readonly position: Position;
  /** Events that lie before it, all equal in both logs (comparing) or sent (copying). */
  readonly events: number;
  /** Events handled in this phase, and for how many seconds it has been going on. */
  readonly phaseEvents: number;
  readonly phaseSeconds: number;
}

export interface CopyResult {
  /** False: it was interrupted. */
  readonly complete: boolean;
  /** Events that are equal in both logs, proved by reading them. */
  readonly events: number;
  /** Nothing of the source up to here is missing. */
  readonly through: Position;
  /** Events sent by this run. */
  readonly copied: number;
  readonly seconds: number;
}

/** The logs cannot be made equal, and trying again does not help. The message says where, and why. */
export class CannotCopy extends Error {
  override readonly name = 'CannotCopy';
  readonly reason: CannotCopyReason;
  readonly stream: string;
  readonly revision: number;

  constructor(reason: CannotCopyReason, event: Place, message: string, options?: ErrorOptions) {
    super(`${placeOf(event)} ${message}`, options);
    this.reason = reason;
    this.stream = event.stream;
    this.revision = event.revision;
  }
}

export type CannotCopyReason =
  /** Both logs go on at the same place, with different events. */
  | 'differs'
  /** The target holds an event that the source does not have. */
  | 'target-ahead'
  /** The target's stream holds another event at that revision: somebody else writes there. */
  | 'conflict'
  /** The target keeps ids unique, and has the event's id elsewhere. */
  | 'id-in-use'
  /** The source's stream does not begin at revision 0: its beginning was removed. */
  | 'gap'
  /** More than the target takes in one event. */
  | 'too-large'
  /** Not of the form that events have here. */
  | 'not-storable';

type Place = Pick<RecordedEvent, 'stream' | 'revision'>;
const placeOf = ({ stream, revision }: Place): string =>
  `Event ${revision} of stream ${JSON.stringify(stream)}`;

/** Both logs hold the same events up to here. */
interface Equal {
  readonly source: Position;
  readonly target: Position;
  readonly events: number;
}

/** Of one append. Every store takes that much. */
const mostEvents = 100;
const mostBytes = 512 * 1024;

/** Throws CannotCopy, and what an adapter throws when a log is damaged. */
export async function copyLog(options: CopyLogOptions): Promise<CopyResult> {
  const { signal } = options;
  const edges = options.edges ?? systemEdges;
  const context: Context = { ...options, edges, log: options.log ?? silentLog };
  const started = edges.clock();
  let equal: Equal = { source: logStart, target: logStart, events: 0 };
  let copied = 0;
  let complete = false;
  while (!signal.aborted && !complete) {
    const compared = await compare(equal, context);
    const news = compared.equal.events - equal.events;
    equal = compared.equal;
    if (signal.aborted) break;
    if (!compared.atEnd) copied += await copy(equal, context);
    // What was read last may have been asked for a while ago. Looked at afresh, nothing may have come since.
    else if (news === 0)
      complete = (await settled(() => options.target.completeCopy(), context)) !== undefined;
  }
  return {
    complete,
    events: equal.events,
    through: equal.source,
    copied,
    seconds: (edges.clock() - started) / 1000,
  };
}

interface Context extends CopyLogOptions {
  readonly edges: Edges;
  readonly log: StoreLog;
}

/** Goes on to the end of the target. `atEnd`: that is the end of the source, too. */
async function compare(
  from: Equal,
  context: Context,
): Promise<{ readonly equal: Equal; readonly atEnd: boolean }> {
  const { signal } = context;
  const source = new LogReader(context.source, from.source, signal);
  const target = new LogReader(context.target, from.target, signal);
  const report = reporter('comparing', context);
  let equal = from;
  try {
    for (;;) {
      // The target first: what is there must have been in the source before.
      const copies = await target.waiting();
      const originals = await source.waiting();
      if (signal.aborted || copies.length === 0) {
        const ends = { source: source.position, target: target.position };
        return { equal: { ...equal, ...ends }, atEnd: originals.length === 0 };
      }
      const [ahead] = copies;
      if (originals.length === 0 && ahead) {
        throw new CannotCopy(
          'target-ahead',
          ahead,
          `(id ${ahead.id}) is in the target, and not in the source.`,
        );
      }
      const count = Math.min(copies.length, originals.length);
      for (let n = 0; n < count; n++) {
        const [original, copied] = [originals[n], copies[n]];
        if (original && copied) mustBeEqual(original, copied);
      }
      source.took(count);
      target.took(count);
      equal = { source: source.position, target: target.position, events: equal.events + count };
      report(equal.source, equal.events, count);
    }
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
}

function mustBeEqual(original: RecordedEvent, copied: RecordedEvent): void {
  const fields = ['stream', 'revision', 'id', 'type', 'data', 'metadata'] as const;
  const different = fields.filter((field) => original[field] !== copied[field]);
  if (different.length === 0) return;
  throw new CannotCopy(
    'differs',
    original,
    `(id ${original.id}) is not what the target has at that place of the log: ` +
      `there is event ${copied.revision} of stream ${JSON.stringify(copied.stream)} (id ${copied.id}). ` +
      `Different: ${different.join(', ')}.`,
  );
}

/** Sends what the source has from there to its end. Answers how many events. */
async function copy(from: Equal, context: Context): Promise<number> {
  const { source, signal } = context;
  const report = reporter('copying', context);
  let copied = 0;
  for await (const batch of source.subscribe({ after: from.source, signal })) {
    for (const run of runsOf(batch.events)) {
      if (!(await send(run, context))) return copied;
      copied += run.length;
      const last = run.at(-1);
      if (last) report(last.position, from.events + copied, run.length);
    }
    if (batch.caughtUp) break;
  }
  return copied;
}

/** Events of one stream that follow each other, as many as go into one append. */
export function* runsOf(events: readonly RecordedEvent[]): Generator<readonly RecordedEvent[]> {
  let run: RecordedEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = bytesOf(event);
    const last = run.at(-1);
    if (
      last &&
      (last.stream !== event.stream ||
        last.revision + 1 !== event.revision ||
        run.length >= mostEvents ||
        bytes + size > mostBytes)
    ) {
      yield run;
      run = [];
      bytes = 0;
    }
    run.push(event);
    bytes += size;
  }
  if (run.length > 0) yield run;
}

/** In UTF-8; counted only where the length in UTF-16 does not say that it is far from the bound. */
function bytesOf(event: RecordedEvent): number {
  const most = 3 * lengthOf([event]);
  if (most < mostBytes / mostEvents) return most;
  return Buffer.byteLength(event.data) + Buffer.byteLength(event.metadata) + Buffer.byteLength(event.type);
}

/** Stores a run, however often it takes. False: interrupted, and what became of it is not known. */
async function send(run: readonly RecordedEvent[], context: Context): Promise<boolean> {
  const { target } = context;
  const [first] = run;
  if (!first) return true;
  const result = await settled(
    () => target.append(first.stream, first.revision - 1, run.map(newEvent)).catch(tooLarge(run)),
    context,
  );
  if (!result) return false;
  switch (result.answer.kind) {
    case 'appended':
      return true;
    case 'id-in-use': {
      const { id, stream, revision } = result.answer;
      const event = run.find((one) => one.id === id) ?? first;
      throw new CannotCopy(
        'id-in-use',
        event,
        `has the id ${id}, which event ${revision} of stream ${JSON.stringify(stream)} has in the target; ` +
          'there an id belongs to one event.',
      );
    }
    case 'too-large': {
      const half = Math.ceil(run.length / 2);
      return (await send(run.slice(0, half), context)) && (await send(run.slice(half), context));
    }
    case 'conflict':
      return sendRest(run, first, result.answer.actualRevision, context);
  }
}

/**
 * The target's stream does not end where the run begins. An append of a run before, cut at another place, may have
 * been stored after it was given up: what of it is there needs no sending.
 */
async function sendRest(
  run: readonly RecordedEvent[],
  first: RecordedEvent,
  actualRevision: number,
  context: Context,
): Promise<boolean> {
  if (actualRevision < first.revision - 1) {
    throw new CannotCopy(
      'gap',
      first,
      `(id ${first.id}) cannot be copied: the source no longer has event ${actualRevision + 1} of that stream. ` +
        'A log whose streams were truncated or scavenged is not a whole log.',
    );
  }
  const read = await settled(() => readRun(context.target, run), context);
  if (!read) return false;
  const there = read.answer;
  const other = there.findIndex((event, n) => event.id !== run[n]?.id);
  const [original, found] = [run[other], there[other]];
  if (there.length === 0 || (original && found)) {
    throw new CannotCopy(
      'conflict',
      original ?? first,
      `(id ${(original ?? first).id}) cannot be stored: in the target that stream ends at revision ${actualRevision}` +
        `${found ? `, and holds event ${found.id} there` : ''}. Somebody else writes to the target.`,
    );
  }
  return send(run.slice(there.length), context);
}

/** What the target has in the places of a run. */
async function readRun(store: EventStore, run: readonly RecordedEvent[]): Promise<RecordedEvent[]> {
  const there: RecordedEvent[] = [];
  const [first] = run;
  if (!first) return there;
  for await (const event of store.readStream(first.stream, { from: first.revision })) {
    there.push(event);
    if (there.length === run.length) break;
  }
  return there;
}

const newEvent = ({ id, type, data, metadata }: RecordedEvent): NewEvent => ({ id, type, data, metadata });

/** What the target says to the size or form of a run. */
const tooLarge =
  (run: readonly RecordedEvent[]) =>
  (error: unknown): { readonly kind: 'too-large' } => {
    const [first] = run;
    if (!first) throw error;
    if (error instanceof RangeError) {
      throw new CannotCopy('not-storable', first, `cannot be stored: ${error.message}.`, { cause: error });
    }
    if (!(error instanceof AppendTooLarge)) throw error;
    if (run.length > 1) return { kind: 'too-large' };
    throw new CannotCopy(
      'too-large',
      first,
      `(id ${first.id}) is too large for the target: ${error.message}.`,
      {
        cause: error,
      },
    );
  };

/** Repeats until there is an answer; undefined when the signal aborts first. Says once that there is none. */
async function settled<T>(
  work: () => Promise<T>,
  { signal, edges, log }: Context,
): Promise<{ readonly answer: T } | undefined> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const settling = work().then((answer) => ({ answer }));
      const outcome = await orAborted(settling, signal);
      if (outcome && attempt > 0) log('info', 'the target answers again');
      return outcome;
    } catch (error) {
      if (!(error instanceof EventStoreUnavailable)) throw error;
      if (attempt === 0) {
        log('warn', 'the target does not answer; trying until it does', { error: errorText(error) });
      }
      await edges.pause(backoff(attempt, edges.random), signal);
    }
  }
  return undefined;
}

/** Says how far it is. */
function reporter(
  phase: CopyProgress['phase'],
  { edges, onProgress }: Context,
): (position: Position, events: number, more: number) => void {
  const started = edges.clock();
  let phaseEvents = 0;
  return (position, events, more) => {
    phaseEvents += more;
    onProgress?.({ phase, position, events, phaseEvents, phaseSeconds: (edges.clock() - started) / 1000 });
  };
}

/**
 * A subscription: catches up at the consumer's pace, then is live, and then may be too slow. Then 23.10 drops it; since
 * 24.2 servers go back to catching up.
 */
import { randomUUID } from 'node:crypto';
import { caughtUp, checkpoint, confirmation, type LogPosition } from './answers.ts';
import { Checkpoints } from './checkpoints.ts';
import { allForwards, type Cursor, streamForwards } from './cursor.ts';
import { encodeEvent } from './encode-event.ts';
import type { EventSink } from './event-sink.ts';
import type { NodeContext } from './node-context.ts';
import { invalidPosition } from './read.ts';
import type { ReadOptions } from './read-options.ts';
import { refusals } from './refusals.ts';
import type { StoredEvent } from './stored-event.ts';

/** What a live consumer may leave untaken: so much in the call's buffer, and as much again behind it. */
const liveBuffer = 64;

interface Waiting {
  readonly bytes: Buffer;
  readonly at: LogPosition;
  /** Undefined for a checkpoint. */
  readonly event: StoredEvent | undefined;
}

export class Subscription {
  readonly #node: NodeContext;
  readonly #sink: EventSink;
  readonly #options: ReadOptions;
  #cursor: Cursor | undefined;
  #checkpoints: Checkpoints | undefined;
  /** Events up to here were sent, or are none of the subscriber's business. */
  #after: LogPosition = { commit: -1, prepare: -1 };
  #afterRevision = -1;
  #waiting: Waiting[] = [];

  constructor(node: NodeContext, sink: EventSink, options: ReadOptions) {
    this.#node = node;
    this.#sink = sink;
    this.#options = options;
  }

  async run(): Promise<void> {
    const sink = this.#sink;
    if (sink.mustWait && !(await sink.ready())) return;
    let live = this.#start();
    while (live !== undefined) {
      while (this.#isSilent && !sink.isOver) {
        await this.#nextWrite();
        live = false;
      }
      if (!live && !(await this.#catchUp())) return;
      sink.control(caughtUp());
      live = (await this.#live()) ? false : undefined;
    }
  }

  /** Whether it is live from the start; undefined if it cannot start. */
  #start(): boolean | undefined {
    const { log, settings } = this.#node.cluster;
    const { stream, revision, position, filter } = this.#options;
    if (stream !== undefined) {
      const last = log.stream(stream)?.lastRevision ?? -1;
      this.#afterRevision = revision === 'start' ? -1 : revision === 'end' ? last : revision;
      this.#openCursor();
      this.#confirm();
      return this.#afterRevision >= last && !log.stream(stream)?.tombstone;
    }
    const refusal = invalidPosition(log, this.#options, settings.invalidPosition);
    if (refusal) {
      // 23.10 does not get as far as to confirm it.
      if (settings.invalidPosition === 'unknown') this.#sink.refuse(refusals.handlerThrew());
      else {
        this.#confirm();
        this.#sink.refuse(refusal);
      }
      return undefined;
    }
    this.#confirm();
    const last = log.all.at(-1)?.position ?? -1;
    if (position === 'end') this.#after = { commit: last, prepare: last };
    else if (position !== 'start') this.#after = position;
    if (filter) this.#checkpoints = new Checkpoints(filter, position === 'start' ? undefined : this.#after);
    this.#openCursor();
    return this.#after.commit >= last;
  }

  #confirm(): void {
    this.#sink.control(confirmation(randomUUID()));
  }

  /** 23.10 does not say of a stream that is not there that all of it was sent. */
  get #isSilent(): boolean {
    const { log, settings } = this.#node.cluster;
    const { stream } = this.#options;
    return (
      settings.slowConsumers === 'drop' &&
      stream !== undefined &&
      (log.stream(stream)?.lastRevision ?? -1) < 0
    );
  }

  #nextWrite(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        for (const stop of stops) stop();
        resolve();
      };
      const stops = [this.#node.cluster.log.onWrite(done), this.#sink.onDrain(done)];
    });
  }

  /** After what was sent. */
  #openCursor(): void {
    const { log } = this.#node.cluster;
    const { stream } = this.#options;
    this.#cursor =
      stream === undefined
        ? allForwards(log, Math.max(0, this.#after.commit))
        : streamForwards(log, stream, this.#afterRevision + 1);
  }

  /** Resolves to false if the subscription is over. */
  async #catchUp(): Promise<boolean> {
    const sink = this.#sink;
    for (;;) {
      if (this.#isTombstoned(false)) return false;
      const event = this.#next();
      if (!event) break;
      let goesOn = true;
      const matched = this.#matches(event);
      if (matched) {
        goesOn = sink.event(encodeEvent(this.#node.cluster.log, event, this.#options));
        this.#sent(event);
      }
      const at = this.#checkpoints?.searched(event, matched);
      if (at) goesOn = sink.control(checkpoint(at)) && goesOn;
      if (!goesOn && !(await sink.ready())) return false;
    }
    const at = this.#checkpoints?.caughtUp();
    // 23.10 leaves a subscriber with the checkpoint of the last full interval.
    if (at && this.#node.cluster.settings.slowConsumers !== 'drop') sink.control(checkpoint(at));
    return true;
  }

  /** Resolves to true when it fell behind, and to false when it is over. */
  #live(): Promise<boolean> {
    const sink = this.#sink;
    return new Promise((resolve) => {
      let [isDone, isWaiting] = [false, false];
      const step = (): void => {
        if (isDone || isWaiting) return;
        if (sink.mustWait && !sink.isOver) {
          isWaiting = true;
          void sink.ready().then(() => {
            isWaiting = false;
            step();
          });
          return;
        }
        const state = sink.isOver ? 'over' : this.#advance();
        if (state === 'live') {
          // A fault became due: it strikes now, and not at the next event.
          if (sink.mustWait) step();
          return;
        }
        isDone = true;
        for (const stop of stops) stop();
        this.#waiting = [];
        resolve(state === 'behind');
      };
      const stops = [this.#node.cluster.log.onWrite(step), sink.onDrain(step)];
      step();
    });
  }

  /** Sends what it can of what is there. */
  #advance(): 'live' | 'behind' | 'over' {
    this.#flush();
    for (;;) {
      const event = this.#sink.mustWait ? undefined : this.#next();
      if (!event) break;
      const { log } = this.#node.cluster;
      if (this.#matches(event)) {
        const position = { commit: event.position, prepare: event.position };
        this.#waiting.push({ bytes: encodeEvent(log, event, this.#options), at: position, event });
      }
      const at = this.#checkpoints?.searchedLive(event);
      if (at) this.#waiting.push({ bytes: checkpoint(at), at, event: undefined });
      this.#flush();
      if (this.#waiting.length > liveBuffer) return this.#tooSlow();
    }
    return !this.#sink.mustWait && this.#isTombstoned(true) ? 'over' : 'live';
  }

  #tooSlow(): 'behind' | 'over' {
    const { calls, settings } = this.#node.cluster;
    calls.slowConsumers++;
    if (settings.slowConsumers === 'drop') {
      this.#sink.refuse(refusals.consumerTooSlow());
      return 'over';
    }
    const at = this.#checkpoints?.fellBehind(this.#after);
    if (at) this.#sink.control(checkpoint(at));
    this.#openCursor();
    return 'behind';
  }

  #flush(): void {
    const sink = this.#sink;
    let sent = 0;
    for (const { bytes, at, event } of this.#waiting) {
      if (sink.backlog >= liveBuffer || sink.mustWait || sink.isOver) break;
      sent++;
      if (event) {
        sink.event(bytes);
        this.#sent(event);
      } else if (this.#checkpoints?.sentLive(at)) {
        this.#after = at;
        sink.control(bytes);
      }
    }
    if (sent > 0) this.#waiting.splice(0, sent);
  }

  #sent(event: StoredEvent): void {
    this.#after = { commit: event.position, prepare: event.position };
    this.#afterRevision = event.revision;
  }

  /** The next event of the log that was not sent or skipped. */
  #next(): StoredEvent | undefined {
    for (;;) {
      const event = this.#cursor?.peek();
      if (!event) return undefined;
      this.#cursor?.advance();
      if (this.#options.stream !== undefined || !this.#isSent(event)) return event;
    }
  }

  /** Positions are exclusive; one beyond the end skips what is written up to it. */
  #isSent({ position }: StoredEvent): boolean {
    const { commit, prepare } = this.#after;
    return position < commit || (position === commit && position <= prepare);
  }

  #matches(event: StoredEvent): boolean {
    return this.#options.filter?.matches(event) ?? true;
  }

  /** A tombstone ends a subscription to its stream; a live one is shown it first. */
  #isTombstoned(show: boolean): boolean {
    const { stream } = this.#options;
    if (stream === undefined) return false;
    const { log } = this.#node.cluster;
    const tombstone = log.stream(stream)?.tombstone;
    if (!tombstone) return false;
    if (show) this.#sink.control(encodeEvent(log, tombstone, this.#options));
    this.#sink.refuse(refusals.streamDeleted(stream));
    return true;
  }
}

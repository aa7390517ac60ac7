/** BatchAppend: a stream of appends, each of one or more messages, answered in the order they were decided in. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { batchAppended, batchRefused } from './answers.ts';
import type { WriteOutcome } from './log.ts';
import { inflict, type NodeContext } from './node-context.ts';
import { type Refusal, refusals, statusOf, wrongExpectedVersionInBand } from './refusals.ts';
import type { ProposedEvent } from './stored-event.ts';
import { toRefusal } from './unary.ts';
import {
  type BatchAppendMessage,
  decodeBatchAppend,
  decodeEvent,
  sizeOnDisk,
  type WriteOptions,
} from './write-requests.ts';

interface PendingAppend {
  readonly key: string;
  /** `UUID`, as it came. */
  readonly correlationId: Buffer;
  readonly options: WriteOptions;
  readonly events: ProposedEvent[];
  size: number;
  timer?: NodeJS.Timeout;
}

interface QueuedAnswer {
  bytes: Buffer;
  readonly refused: Buffer;
  ready: boolean;
}

/** However long a deadline is. */
const writeTimeout = 2_000;

export class BatchAppendCall {
  readonly #node: NodeContext;
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #pending = new Map<string, PendingAppend>();
  /** Not empty only while a fault holds one back. */
  readonly #answers: QueuedAnswer[] = [];
  #halfClosed = false;

  constructor(node: NodeContext, call: ServerDuplexStream<Buffer, Buffer>) {
    this.#node = node;
    this.#call = call;
    const finished = node.cluster.calls.add({
      kind: 'batchAppend',
      node: node.index,
      end: () => {
        call.end();
      },
      refuse: (refusal) => {
        this.#fail(refusal);
      },
      abandon: () => {
        for (const answer of this.#answers) answer.bytes = answer.refused;
      },
    });
    call.on('close', () => {
      finished();
      for (const key of this.#pending.keys()) this.#forget(key);
    });
    const denied = node.accessRefusalOf(call.metadata);
    if (denied && !denied.inBand) {
      this.#fail(denied);
      return;
    }
    call.on('data', (bytes: Buffer) => {
      try {
        this.#receive(decodeBatchAppend(bytes), denied);
      } catch (error) {
        this.#fail(toRefusal(error));
      }
    });
    call.on('end', () => {
      this.#halfClosed = true;
      if (this.#answers.length === 0) call.end();
    });
  }

  #receive(message: BatchAppendMessage, denied: Refusal | undefined): void {
    const { correlationId, rawCorrelationId, options, isFinal } = message;
    if (options) {
      const refusal = denied ?? (options.timeout <= 0 ? refusals.timeout() : undefined);
      if (refusal) {
        this.#refuse(rawCorrelationId, options.stream, refusal);
        return;
      }
      this.#pending.set(correlationId, {
        key: correlationId,
        correlationId: rawCorrelationId,
        options,
        events: [],
        size: 0,
      });
    }
    const append = this.#pending.get(correlationId);
    if (!append) return;
    const done = this.#add(append, message.events) && isFinal;
    if (options && !done && this.#pending.has(correlationId))
      this.#expire(append, Math.min(options.timeout, writeTimeout));
    if (!done || !this.#forget(correlationId)) return;

    this.#node.cluster.calls.appendsReceived++;
    const { stream } = append.options;
    const rule = this.#node.strike({ rpc: 'batchAppend', at: 'request', stream });
    if (!rule) {
      this.#perform(append);
      return;
    }
    const pause = this.#node.pause(rule);
    if (!pause) {
      if (this.#inflict(rule.fault, append)) this.#perform(append);
      return;
    }
    // What came after it on this connection waits too.
    this.#call.pause();
    void pause.then(() => {
      this.#perform(append);
      this.#call.resume();
    });
  }

  /** Returns whether they belong to an append that can still be carried out. */
  #add(append: PendingAppend, events: readonly Buffer[]): boolean {
    const { correlationId, options } = append;
    try {
      for (const bytes of events) {
        const event = decodeEvent(bytes);
        append.size += sizeOnDisk(event);
        append.events.push(event);
      }
    } catch (error) {
      // Servers do not forget it after this answer: when its time is up they send another.
      this.#refuse(correlationId, options.stream, refusals.badRequest(toRefusal(error).details));
      return false;
    }
    const { maxAppendSize } = this.#node.cluster.settings;
    if (append.size <= maxAppendSize) return true;
    this.#forget(append.key);
    this.#refuse(correlationId, options.stream, refusals.maximumAppendSizeExceeded(maxAppendSize));
    return false;
  }

  #perform(append: PendingAppend): void {
    const { correlationId, options, events } = append;
    // A follower passes appends on, unless the client asked for the leader when it opened the stream.
    const notLeader = this.#node.leaderRefusalOf(this.#call.metadata);
    if (notLeader) {
      this.#fail(notLeader);
      return;
    }
    const outcome = this.#node.cluster.log.append(options.stream, options.expected, events);
    const answer = encode(correlationId, options, outcome);

    const rule = this.#node.strike({ rpc: 'batchAppend', at: 'answer', stream: options.stream });
    if (!rule) {
      this.#send(correlationId, options.stream, answer);
      return;
    }
    if (!this.#inflict(rule.fault, append)) return;
    this.#send(correlationId, options.stream, answer, this.#node.pause(rule));
    if (rule.fault.kind === 'twice') this.#send(correlationId, options.stream, answer);
  }

  #inflict(fault: Parameters<typeof inflict>[0], { correlationId, options }: PendingAppend): boolean {
    return inflict(fault, this.#node, {
      getPeer: () => this.#call.getPeer(),
      end: () => {
        this.#call.end();
      },
      refuse: (refusal) => {
        this.#refuse(correlationId, options.stream, refusal);
      },
    });
  }

  #refuse(correlationId: Buffer, stream: string, refusal: Refusal): void {
    if (refusal.inBand)
      this.#send(correlationId, stream, batchRefused(correlationId, stream, refusal.inBand));
    else this.#fail(refusal);
  }

  #fail(refusal: Refusal): void {
    this.#answers.length = 0;
    if (!this.#isOver()) this.#call.emit('error', statusOf(refusal));
  }

  #send(correlationId: Buffer, stream: string, bytes: Buffer, after?: Promise<void>): void {
    if (!after && this.#answers.length === 0) {
      if (!this.#isOver()) this.#call.write(bytes);
      return;
    }
    const refused = batchRefused(correlationId, stream, refusals.timeout().inBand ?? Buffer.alloc(0));
    const answer = { bytes, refused, ready: !after };
    this.#answers.push(answer);
    void after?.then(() => {
      answer.ready = true;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#answers[0]?.ready) {
      const answer = this.#answers.shift();
      if (answer && !this.#isOver()) this.#call.write(answer.bytes);
    }
    if (this.#halfClosed && this.#answers.length === 0) this.#call.end();
  }

  #isOver(): boolean {
    return this.#call.cancelled || this.#call.writableEnded || this.#call.destroyed;
  }

  #expire(append: PendingAppend, ms: number): void {
    const { timers } = this.#node.cluster;
    append.timer = setTimeout(() => {
      if (this.#forget(append.key))
        this.#refuse(append.correlationId, append.options.stream, refusals.timeout());
    }, ms);
    timers.add(append.timer);
  }

  /** Returns whether it was still pending. */
  #forget(key: string): boolean {
    const append = this.#pending.get(key);
    if (append?.timer) {
      clearTimeout(append.timer);
      this.#node.cluster.timers.delete(append.timer);
    }
    return this.#pending.delete(key);
  }
}

function encode(correlationId: Buffer, { stream, expected }: WriteOptions, outcome: WriteOutcome): Buffer {
  if (outcome.kind === 'success') return batchAppended(correlationId, stream, outcome);
  const error =
    outcome.kind === 'deleted'
      ? refusals.streamDeleted(stream).inBand
      : wrongExpectedVersionInBand(expected, outcome.actual);
  return batchRefused(correlationId, stream, error ?? Buffer.alloc(0));
}

/** The answering side of a read or subscription: respects back-pressure, and suffers the faults set for its call. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import { inflict, type NodeContext } from './node-context.ts';
import { type Refusal, statusOf } from './refusals.ts';
import type { Rule } from './faults.ts';

export type ReadCall = ServerWritableStream<ReadReq, Buffer>;

export class EventSink {
  readonly #node: NodeContext;
  readonly #call: ReadCall;
  readonly #kind: 'read' | 'subscribe';
  #rule: Rule | undefined;
  #suffering: Promise<void> | undefined;
  #sent = 0;
  /** The call is open, and nothing more will be sent by it. */
  #hung = false;

  constructor(node: NodeContext, call: ReadCall, kind: 'read' | 'subscribe', stream: string) {
    this.#node = node;
    this.#call = call;
    this.#kind = kind;
    const finished = node.cluster.calls.add({
      kind,
      node: node.index,
      end: () => {
        this.end();
      },
      refuse: (refusal) => {
        this.refuse(refusal);
      },
    });
    call.on('close', finished);
    this.#rule = node.strike({ rpc: kind, at: 'request', stream });
  }

  /** Whether nothing can be sent any more. */
  get isOver(): boolean {
    return this.#hung || this.#isClosed;
  }

  /** Messages the call took and the transport did not. */
  get backlog(): number {
    return this.#call.writableLength;
  }

  /** False if the caller must wait until it is `ready`. */
  event(bytes: Buffer): boolean {
    this.#sent++;
    return this.control(bytes);
  }

  /** What is no event does not count towards a fault. */
  control(bytes: Buffer): boolean {
    return !this.isOver && this.#call.write(bytes) && !this.mustWait;
  }

  /** Resolves to false if the call is over. */
  async ready(): Promise<boolean> {
    await this.#suffer();
    while (!this.isOver && (this.#call.writableNeedDrain || this.#isStalled)) {
      await new Promise<void>((resolve) => {
        const stopWaiting = this.#node.cluster.faults.onResume(done);
        const call = this.#call;
        function done(): void {
          call.off('drain', done).off('close', done);
          stopWaiting();
          resolve();
        }
        call.on('drain', done).on('close', done);
      });
    }
    return !this.isOver;
  }

  /** Whether a fault is due. */
  get mustWait(): boolean {
    return this.#isDue || this.#isStalled;
  }

  end(): void {
    if (!this.#isClosed) this.#call.end();
  }

  refuse(refusal: Refusal): void {
    if (!this.#isClosed) this.#call.emit('error', statusOf(refusal));
  }

  /** Also when the call closes, and when stalled subscriptions resume. */
  onDrain(listener: () => void): () => void {
    const stop = this.#node.cluster.faults.onResume(listener);
    this.#call.on('drain', listener).on('close', listener);
    return () => {
      this.#call.off('drain', listener).off('close', listener);
      stop();
    };
  }

  get #isClosed(): boolean {
    return this.#call.cancelled || this.#call.writableEnded || this.#call.destroyed;
  }

  get #isDue(): boolean {
    return this.#rule !== undefined && this.#sent >= this.#rule.afterEvents;
  }

  get #isStalled(): boolean {
    return this.#kind === 'subscribe' && this.#node.cluster.faults.subscriptionsStalled;
  }

  async #suffer(): Promise<void> {
    const rule = this.#rule;
    if (!rule || !this.#isDue) return;
    this.#suffering ??= this.#node.pause(rule);
    await this.#suffering;
    // Another that waited for it may have been first.
    if (this.#rule !== rule) return;
    this.#rule = undefined;
    const goesOn = inflict(rule.fault, this.#node, {
      getPeer: () => this.#call.getPeer(),
      end: () => {
        this.end();
      },
      refuse: (refusal) => {
        this.refuse(refusal);
      },
    });
    if (!goesOn) this.#hung = true;
  }
}

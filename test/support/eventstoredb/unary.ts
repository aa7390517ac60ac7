/** A call with one answer: faults before the work, the work, faults before the answer. */
import type { sendUnaryData, ServerUnaryCall, ServerReadableStream } from '@grpc/grpc-js';
import type { CallKind } from './calls.ts';
import { inflict, type NodeContext } from './node-context.ts';
import { Refused, type Refusal, refusals, statusOf } from './refusals.ts';

type OneAnswerCall = ServerUnaryCall<Buffer, Buffer> | ServerReadableStream<Buffer, Buffer>;

interface Work {
  readonly stream?: string;
  /** Throws `Refused`. */
  readonly run: () => Buffer;
}

export class OneAnswer {
  readonly #node: NodeContext;
  readonly #kind: CallKind;
  readonly #call: OneAnswerCall;
  readonly #callback: sendUnaryData<Buffer>;
  readonly #finished: () => void;
  #done = false;

  constructor(node: NodeContext, kind: CallKind, call: OneAnswerCall, callback: sendUnaryData<Buffer>) {
    this.#node = node;
    this.#kind = kind;
    this.#call = call;
    this.#callback = callback;
    this.#finished = node.cluster.calls.add({
      kind,
      node: node.index,
      end: () => undefined,
      refuse: (refusal) => {
        this.refuse(refusal);
      },
      abandon: () => {
        this.refuse(refusals.timeout());
      },
    });
    call.on('cancelled', () => {
      this.#done = true;
      this.#finished();
    });
  }

  /** `work` is done unless a fault prevents it. */
  async give({ stream, run }: Work): Promise<void> {
    if (this.#done || !(await this.#strike('request', stream))) return;
    let answer: Buffer;
    try {
      answer = run();
    } catch (error) {
      this.refuse(toRefusal(error));
      return;
    }
    if (!(await this.#strike('answer', stream))) return;
    if (this.#finish()) this.#callback(null, answer);
  }

  refuse(refusal: Refusal): void {
    if (this.#finish()) this.#callback(statusOf(refusal));
  }

  async #strike(at: 'request' | 'answer', stream: string | undefined): Promise<boolean> {
    const rule = this.#node.strike({ rpc: this.#kind, at, ...(stream === undefined ? {} : { stream }) });
    if (!rule) return true;
    await this.#node.pause(rule);
    return inflict(rule.fault, this.#node, {
      getPeer: () => this.#call.getPeer(),
      refuse: (refusal) => {
        this.refuse(refusal);
      },
    });
  }

  #finish(): boolean {
    if (this.#done) return false;
    this.#done = true;
    this.#finished();
    return true;
  }
}

export const toRefusal = (error: unknown): Refusal =>
  error instanceof Refused
    ? error.refusal
    : refusals.unknown(error instanceof Error ? error.message : String(error));

/**
 * Appends, many at a time over one BatchAppend call. Each ends in one of these ways, within its deadline:
 *   stored       the server's answer
 *   conflict     the server's answer
 *   too large    found before sending, or the server's answer
 *   unknown      no answer in time, the call ended (by an error or normally), the server says timeout, not ready, too
 *                busy, not the leader, or what this code does not know. Whoever asked asks again with the same ids
 *                and revision; the server then finds what is stored, or stores it.
 *
 *   call:  none → opening → open → (error, end, an append unanswered though nothing else was answered either) → none
 *
 * An answer that nobody waits for (late, or the second) is ignored.
 */
import type { ClientDuplexStream } from '@grpc/grpc-js';
import {
  BadRequest,
  type BatchAppendReq,
  type BatchAppendReq_ProposedMessage,
  type BatchAppendResp,
  type BatchAppendResp_Success,
  MaximumAppendSizeExceeded,
  type Status,
  WrongExpectedVersion,
} from '../../gen/event_store/client/streams.ts';
import type { Append } from '../check-append.ts';
import type { Alarm, Edges } from '../edges.ts';
import { AppendTooLarge, EventStoreUnavailable, noStream, type Position } from '../port.ts';
import type { OpenedCall } from './client.ts';
import type { Connection } from './connection.ts';
import { StreamTombstoned, unavailable } from './errors.ts';
import { encodeEvents } from './events.ts';

export type AppendAnswer =
  | { readonly kind: 'stored'; readonly revision: number; readonly position: Position | undefined }
  | { readonly kind: 'conflict'; readonly actualRevision: number };

type Batches = ClientDuplexStream<BatchAppendReq, BatchAppendResp>;

interface Pending {
  readonly resolve: (answer: AppendAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly alarm: Alarm;
  /** How many answers had come when it was sent. */
  readonly answersBefore: number;
}

export class AppendChannel {
  readonly #connection: Connection;
  readonly #edges: Edges;
  readonly #deadline: number;
  #calls: CurrentCall | undefined;
  readonly #underWay = new Set<Promise<unknown>>();

  /** `deadline`: milliseconds after which an append counts as unknown. */
  constructor(connection: Connection, edges: Edges, deadline: number) {
    this.#connection = connection;
    this.#edges = edges;
    this.#deadline = deadline;
  }

  /** `name`: of the stream, as the server knows it. Rejects with EventStoreUnavailable, AppendTooLarge, StreamTombstoned. */
  async append(name: string, append: Append): Promise<AppendAnswer> {
    const messages = encodeEvents(append.events);
    const answer = this.#send(name, append, messages);
    this.#underWay.add(answer);
    try {
      return await answer;
    } finally {
      this.#underWay.delete(answer);
    }
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  close(): void {
    this.#calls?.abandon(new EventStoreUnavailable('The event store is closed'));
  }

  async #send(
    name: string,
    append: Append,
    messages: BatchAppendReq_ProposedMessage[],
  ): Promise<AppendAnswer> {
    let call = this.#calls;
    if (!call || call.ended) {
      call = new CurrentCall(this.#connection, this.#edges, this.#deadline);
      this.#calls = call;
    }
    return call.append(name, append, messages);
  }
}

/** A BatchAppend call, from its opening to its end. */
class CurrentCall {
  readonly #connection: Connection;
  readonly #edges: Edges;
  readonly #deadline: number;
  readonly #opening: Promise<OpenedCall<Batches>>;
  readonly #pending = new Map<string, Pending>();
  #answers = 0;
  ended = false;

  constructor(connection: Connection, edges: Edges, deadline: number) {
    this.#connection = connection;
    this.#edges = edges;
    this.#deadline = deadline;
    this.#opening = connection.open((streams, metadata, options) => {
      const call = streams.batchAppend(metadata, options);
      // From the very start: an error that nobody listens for ends the process.
      call.on('error', () => undefined);
      return call;
    }, true);
    this.#opening.then((opened) => this.#listen(opened)).catch((error: unknown) => this.#end(error));
  }

  async append(
    name: string,
    append: Append,
    messages: BatchAppendReq_ProposedMessage[],
  ): Promise<AppendAnswer> {
    const { call } = await this.#opening;
    if (this.ended) throw new EventStoreUnavailable('EventStoreDB: the call for appends has ended');
    return new Promise((resolve, reject) => {
      const id = this.#edges.newId();
      const alarm = this.#edges.alarm(this.#deadline, () => this.#tooLate(id));
      this.#pending.set(id, { resolve, reject, alarm, answersBefore: this.#answers });
      call.write(requestOf(id, name, append, messages, this.#deadline));
    });
  }

  /** Gives up what is pending and the call itself. */
  abandon(error: EventStoreUnavailable): void {
    this.#opening.then(
      ({ call }) => call.cancel(),
      () => undefined,
    );
    this.#end(error);
  }

  #listen({ call, failed }: OpenedCall<Batches>): void {
    call.on('data', (response: BatchAppendResp) => this.#answer(response));
    call.on('error', (error: Error) => {
      if (this.ended) return;
      void failed(error);
      this.#connection.failed();
      this.#end(error);
    });
    call.on('end', () => {
      this.#connection.failed();
      this.#end(new EventStoreUnavailable('EventStoreDB: the server ended the call for appends'));
      call.cancel();
    });
  }

  #answer(response: BatchAppendResp): void {
    this.#answers++;
    this.#connection.answered();
    const id = response.correlationId?.value;
    const pending = id?.$case === 'string' && this.#take(id.value);
    if (!pending) return;
    try {
      pending.resolve(readAnswer(response));
    } catch (error) {
      pending.reject(error instanceof Error ? error : unavailable(error));
    }
  }

  #take(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.alarm.stop();
    return pending;
  }

  #tooLate(id: string): void {
    const pending = this.#take(id);
    const error = new EventStoreUnavailable(
      `EventStoreDB: no answer to an append within ${this.#deadline} ms`,
    );
    pending?.reject(error);
    // Nothing at all has come since: the call, or the node, is dead.
    if (pending?.answersBefore !== this.#answers) return;
    this.#connection.failed();
    this.abandon(error);
  }

  #end(reason: unknown): void {
    this.ended = true;
    const error = unavailable(reason);
    for (const id of this.#pending.keys()) this.#take(id)?.reject(error);
  }
}

function requestOf(
  id: string,
  name: string,
  { expectedRevision }: Append,
  proposedMessages: BatchAppendReq_ProposedMessage[],
  deadline: number,
): BatchAppendReq {
  return {
    correlationId: { value: { $case: 'string', value: id } },
    options: {
      streamIdentifier: { streamName: Buffer.from(name) },
      expectedStreamPosition:
        expectedRevision === noStream
          ? { $case: 'noStream', value: {} }
          : { $case: 'streamPosition', value: BigInt(expectedRevision) },
      deadline: { seconds: BigInt(Math.floor(deadline / 1_000)), nanos: (deadline % 1_000) * 1_000_000 },
    },
    proposedMessages,
    isFinal: true,
  };
}

/** Throws what the append is to be rejected with. */
function readAnswer({ result }: BatchAppendResp): AppendAnswer {
  switch (result?.$case) {
    case 'success':
      return readSuccess(result.value);
    case 'error':
      return readError(result.value);
    case undefined:
      throw new EventStoreUnavailable('EventStoreDB: an answer without a result');
  }
}

function readSuccess({ currentRevisionOption, positionOption }: BatchAppendResp_Success): AppendAnswer {
  if (currentRevisionOption?.$case !== 'currentRevision') {
    throw new EventStoreUnavailable('EventStoreDB: an answer without a revision');
  }
  return {
    kind: 'stored',
    revision: Number(currentRevisionOption.value),
    position:
      positionOption?.$case === 'position'
        ? { commit: positionOption.value.commitPosition, prepare: positionOption.value.preparePosition }
        : undefined,
  };
}

function readError({ code, message, details }: Status): AppendAnswer {
  const kind = details?.typeUrl.split('/').at(-1)?.split('.').at(-1) ?? '';
  const content = details?.value ?? new Uint8Array();
  switch (kind) {
    case 'WrongExpectedVersion': {
      const { currentStreamRevisionOption: actual } = WrongExpectedVersion.decode(content);
      const actualRevision = actual?.$case === 'currentStreamRevision' ? Number(actual.value) : noStream;
      return { kind: 'conflict', actualRevision };
    }
    case 'MaximumAppendSizeExceeded':
      throw new AppendTooLarge(
        `the server takes ${MaximumAppendSizeExceeded.decode(content).maxAppendSize} bytes at once`,
      );
    case 'StreamDeleted':
      throw new StreamTombstoned(`the stream has been deleted for good: ${message}`);
    case 'BadRequest':
      throw new Error(`EventStoreDB does not take the append: ${BadRequest.decode(content).message}`);
    // Timeout, Unknown, AccessDenied, InvalidTransaction; and without a name: not ready, too busy.
    default:
      throw new EventStoreUnavailable(`EventStoreDB: ${kind || `code ${code}`} ${message}`);
  }
}

/**
 * One Ingest stream.
 *
 *   taking     reads on while fewer than the window's records are being carried out and the client reads verdicts
 *     → client half-closed            finishes all, ends with OK
 *     → server stops                  finishes all that was taken, ends with UNAVAILABLE
 *     → client cancelled or vanished  finishes all that was taken, says nothing
 *     → the store does not answer     drops what has not been started, ends with UNAVAILABLE
 *
 * What was read and has no verdict when the stream ends, the client sends again under the same request ids.
 * A record that fails for a reason nobody foresaw is refused and kept like one that is invalid (INTERNAL_ERROR,
 * with the id under which it was logged): it must not stop the records behind it for ever.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { CommandOutcome } from '../../application/commands.ts';
import { IngestResponse, type RecordRefusal } from '../../gen/tallyback/ingest/v1/ingest_service.ts';
import type { StreamCall } from '../call.ts';
import { receiptOf } from '../commands/services.ts';
import type { ApiContext } from '../context.ts';
import { cleanText, known } from '../errors.ts';
import type { Duplex } from '../handler.ts';
import { Lanes, type Task } from './lanes.ts';
import { readRecord, sequenceIn } from './read-record.ts';
import type { PreparedRecord } from './record.ts';

type Verdict = NonNullable<IngestResponse['verdict']>;
/** With a token where it was decided on what is stored. */
type Refusal = Omit<RecordRefusal, 'positionToken'> & Partial<Pick<RecordRefusal, 'positionToken'>>;

export class IngestSession {
  readonly #context: ApiContext;
  readonly #call: StreamCall;
  readonly #requests: ServerDuplexStream<Buffer, Uint8Array>;
  readonly #lanes = new Lanes();
  /** Taken and without a verdict. */
  #open = 0;
  #reading = true;
  #halfClosed = false;
  /** The client has to read verdicts first. */
  #blocked = false;
  /** Why nothing is taken any more. */
  #over: { readonly cause: unknown } | undefined;
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  constructor(context: ApiContext, { call, requests }: Duplex) {
    this.#context = context;
    this.#call = call;
    this.#requests = requests;
  }

  /** Resolves when the client has half-closed and all is answered; rejects with why the stream ends otherwise. */
  run(): Promise<void> {
    const { ending } = this.#call;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      ending.listen(() => this.#end(ending.over));
      this.#call.onRoom(() => {
        this.#blocked = false;
        this.#regulate();
      });
      this.#requests.on('end', () => {
        this.#halfClosed = true;
        this.#regulate();
      });
      this.#requests.on('data', (bytes: Buffer) => this.#take(bytes));
    });
  }

  #take(bytes: Buffer): void {
    if (this.#over) return;
    this.#open++;
    try {
      const record = readRecord(bytes, this.#context.clock);
      if (record.kind === 'fit') this.#lanes.add(this.#task(record.sequence, record.prepared, bytes));
      else this.#refuse(record.sequence, bytes, record, true);
    } catch (error) {
      this.#refuseUnforeseen(sequenceIn(bytes), bytes, error);
    }
    this.#regulate();
  }

  #task(sequence: bigint, prepared: PreparedRecord, bytes: Buffer): Task {
    const { stream, member, request, report } = prepared;
    const task: Task = {
      stream,
      member,
      start: () => {
        this.#execute(request).then(
          (outcome) => {
            this.#lanes.done(task);
            this.#answer(sequence, outcome, bytes, report);
          },
          (error: unknown) => {
            const outage = known(error);
            if (outage) {
              // Nothing that waits may overtake what may or may not have been carried out.
              this.#open -= 1 + this.#lanes.drop();
              this.#end(outage);
            } else {
              this.#lanes.done(task);
              this.#refuseUnforeseen(sequence, bytes, error);
            }
          },
        );
      },
    };
    return task;
  }

  /** Async, so that a bus that throws at once is no different. */
  async #execute(request: PreparedRecord['request']): Promise<CommandOutcome> {
    return this.#context.bus.execute(request);
  }

  #answer(sequence: bigint, outcome: CommandOutcome, bytes: Buffer, report: boolean): void {
    switch (outcome.kind) {
      case 'accepted': {
        const value = receiptOf(outcome, this.#context.tokens);
        const again = outcome.duplicate || outcome.unchanged;
        this.#verdict(sequence, { $case: again ? 'duplicate' : 'accepted', value });
        return;
      }
      case 'refused': {
        const { reason, message } = outcome.refusal;
        // The others are in the log, with their refusal.
        const positionToken = this.#context.tokens.encode(outcome.position);
        const refusal = { reason, message: cleanText(message), field: '', positionToken };
        this.#refuse(sequence, bytes, refusal, report);
        return;
      }
      case 'request-id-reused': {
        const message = 'the request id was used for another request';
        this.#refuse(sequence, bytes, { reason: 'REQUEST_ID_REUSED', message, field: '' }, true);
        return;
      }
    }
  }

  #refuseUnforeseen(sequence: bigint, bytes: Buffer, error: unknown): void {
    const { message } = this.#context.rpc.explain(error, 'Ingest');
    this.#refuse(sequence, bytes, { reason: 'INTERNAL_ERROR', message, field: '' }, true);
  }

  #refuse(sequence: bigint, record: Buffer, refusal: Refusal, keep: boolean): void {
    const { reason, message, field, positionToken = '' } = refusal;
    const verdict: Verdict = { $case: 'refused', value: { reason, message, field, positionToken } };
    if (!keep) {
      this.#verdict(sequence, verdict);
      return;
    }
    this.#context.refusedRecords.keep({ reason, message, field, record }).then(
      () => this.#verdict(sequence, verdict),
      (error: unknown) => {
        // Not kept, so not answered: the client has it still.
        this.#open--;
        this.#end(known(error) ?? this.#context.rpc.explain(error, 'Ingest'));
      },
    );
  }

  #verdict(sequence: bigint, verdict: Verdict): void {
    this.#open--;
    if (!this.#call.write(IngestResponse.encode({ sequence, verdict }).finish())) this.#blocked = true;
    this.#regulate();
  }

  #end(cause: unknown): void {
    this.#over ??= { cause };
    this.#regulate();
  }

  /** Reads or stops reading, and ends when there is nothing left to do. */
  #regulate(): void {
    if (this.#open === 0 && (this.#over ?? this.#halfClosed)) {
      if (this.#over) this.#settle?.reject(this.#over.cause);
      else this.#settle?.resolve();
      return;
    }
    const read = !this.#over && !this.#blocked && this.#open < this.#context.limits.ingestWindow;
    if (read === this.#reading) return;
    this.#reading = read;
    if (read) this.#requests.resume();
    else this.#requests.pause();
  }
}

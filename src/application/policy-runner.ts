/**
 * Runs a policy over the log: every event once or more, every command exactly once.
 *
 * A batch's way:  react to its events → send all commands → all answered → done; the checkpoint is saved soon after
 *
 * The checkpoint never passes an event whose commands have no outcome yet, so a crash repeats commands; their
 * request ids are derived from the event, so a repeat changes nothing. Commands for one stream are sent in log
 * order and the bus keeps it; batches do not overlap, so a failed one cannot be overtaken.
 */
import { v5 as uuidv5 } from 'uuid';
import { decodeEvent, eventTypeOf } from '../domain/codec.ts';
import type { DomainEvent, EventType } from '../domain/events.ts';
import type { Policy } from '../domain/policies/policy.ts';
import { programmeAggregate } from '../domain/programme/index.ts';
import { comparePositions, type EventStore, type Position, type RecordedEvent } from '../eventstore/port.ts';
import type { CommandBus, CommandRequest } from './commands.ts';
import { readMetadata } from './metadata.ts';
import { ProgrammeHistory } from './programme-history.ts';
import { backoff, type Timing } from './timing.ts';

/** Where a policy has got to, kept durably, for as long as this runner is the one that may move it. */
export interface PolicyCheckpoint {
  readonly position: Position;
  /** Rests for so many milliseconds before it is moved, less if somebody waits for that; never rejects. */
  rest(ms: number, signal: AbortSignal): Promise<void>;
  /** Moves it; false when another runner of the same policy has taken over. */
  advance(to: Position): Promise<boolean>;
  /** Reads it again, after a failure; false as above. */
  reload(): Promise<boolean>;
}

export interface PolicyRunnerOptions {
  readonly policy: Policy;
  readonly store: EventStore;
  readonly bus: CommandBus;
  readonly checkpoint: PolicyCheckpoint;
  readonly timing: Timing;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Name of a policy's checkpoint. */
export const policyCheckpointName = (policy: Policy): string => `policy:${policy.name}`;

/** Runs until the signal aborts or another runner has taken over; goes on from the checkpoint after every failure. */
export async function runPolicy(options: PolicyRunnerOptions): Promise<void> {
  const { policy, checkpoint, timing, log, signal } = options;
  let isCurrent = true;
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      isCurrent = isCurrent || (await checkpoint.reload());
      if (!isCurrent) throw new TakenOver();
      await runOnce(options, () => (failures = 0));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof TakenOver) {
        log(`policy ${policy.name}: another runner has taken over`);
        return;
      }
      log(`policy ${policy.name}: ${describe(error)}; going on from its checkpoint`);
      isCurrent = false;
      await timing.sleep(backoff(timing, failures, 100, 5_000), signal);
    }
  }
}

/** Not an error of this runner. */
class TakenOver extends Error {
  override readonly name = 'TakenOver';
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

/** The checkpoint is written at most this often, in milliseconds; what is not written is only repeated. */
const checkpointEvery = 250;

async function runOnce(options: PolicyRunnerOptions, progressed: () => void): Promise<void> {
  const { policy, store, timing, checkpoint } = options;
  const handled = new Set<EventType>(policy.handles);
  const programmes = new ProgrammeHistory(store);
  const run = new AbortController();
  const signal = AbortSignal.any([options.signal, run.signal]);
  let done = checkpoint.position;
  let saved = done;
  let savedAt = -checkpointEvery;
  let saving: Promise<void> | undefined;
  let failure: unknown;

  const save = async (): Promise<void> => {
    while (comparePositions(done, saved) > 0) {
      await checkpoint.rest(Math.max(0, savedAt + checkpointEvery - timing.monotonic()), signal);
      const to = done;
      savedAt = timing.monotonic();
      if (!(await checkpoint.advance(to))) throw new TakenOver();
      saved = to;
      progressed();
    }
    saving = undefined;
  };
  const saveSoon = (): void => {
    saving ??= save().catch((error: unknown) => {
      failure = error;
      run.abort();
    });
  };

  try {
    for await (const batch of store.subscribe({ after: done, signal, maxBatch: 512 })) {
      const requests: CommandRequest[] = [];
      for (const recorded of batch.events) {
        const type = eventTypeOf(recorded.type);
        if (recorded.stream.startsWith('programme-')) programmes.note(recorded);
        if (!type || !handled.has(type)) continue;
        const event = decodeEvent(recorded);
        const merchant = policy.programmeOf(event);
        const programme =
          merchant === undefined
            ? programmeAggregate.initial()
            : await programmes.asOf(merchant, recorded.position);
        requests.push(...requestsFor(policy, recorded, event, programme));
      }
      await carryOut(options, requests);
      if (comparePositions(batch.through, done) > 0) {
        done = batch.through;
        saveSoon();
      }
    }
  } finally {
    run.abort();
    await saving;
  }
  if (failure !== undefined)
    throw failure instanceof Error ? failure : new Error('the checkpoint was not saved');
}

/** Sends all requests in order, and waits for all: nothing of a batch may still be under way in the next attempt. */
async function carryOut(
  { policy, bus, log }: PolicyRunnerOptions,
  requests: readonly CommandRequest[],
): Promise<void> {
  const settled = await Promise.allSettled(requests.map((request) => bus.execute(request)));
  for (const [index, result] of settled.entries()) {
    if (result.status === 'rejected')
      throw new Error('a command was not carried out', { cause: result.reason });
    const outcome = result.value;
    if (outcome.kind === 'accepted' || (outcome.kind === 'refused' && outcome.duplicate)) continue;
    // The refusal is in the stream; here it is for somebody to look at.
    const { command, causationId } = requests[index] ?? {};
    const why = outcome.kind === 'refused' ? outcome.refusal.reason : outcome.kind;
    log(`policy ${policy.name}: ${command?.kind} because of event ${causationId} was refused: ${why}`);
  }
}

function requestsFor(
  policy: Policy,
  recorded: RecordedEvent,
  event: DomainEvent,
  programme: Parameters<Policy['react']>[1]['programme'],
): CommandRequest[] {
  const correlationId = readMetadata(recorded.metadata)?.correlationId;
  return policy.react(event, { programme }).map((target, index): CommandRequest => {
    const request = {
      // By stream too: not every store keeps ids from being used in two streams.
      requestId: uuidv5(`${policy.name}/${index}/${recorded.stream}`, recorded.id),
      contentHash: undefined,
      causationId: recorded.id,
      correlationId,
    };
    return target.aggregate === 'account'
      ? { ...request, aggregate: 'account', command: target.command }
      : { ...request, aggregate: 'item', command: target.command };
  });
}

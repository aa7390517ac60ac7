/**
 * One watch: a snapshot, then changes for as long as the client stays. What is watched (watched.ts) is the rows of a table,
 * a ranking or the log.
 *
 *   begin        a resume token → following; changes only → following; else → snapshot. A ranking always begins with a
 *                snapshot, the log with none
 *   snapshot     waits for its turn; SnapshotStarted, changes*, SnapshotCompleted → following
 *   following    changes …; CaughtUp at the first end; FellBehind when the client or the read model does not keep up,
 *                and CaughtUp when that is over; Heartbeat in silence (follow.ts)
 *     → Reset    the read model was folded anew (or was meanwhile, for a resume token): waits a moment (all its watches
 *                do, each as long as chance has it, so that they do not come at once) → snapshot
 *     → ended    UNAVAILABLE (server stops), CANCELLED or DEADLINE_EXCEEDED (client), RESOURCE_EXHAUSTED (a client
 *                that takes nothing), OUT_OF_RANGE (instead of a Reset, if asked for)
 *
 * All that a subscriber owns is a cursor and what is in the stream's buffer. While the client does not read,
 * nothing is fetched for it; when it reads again it gets rows as they are then. A snapshot holds a database
 * connection (of a table), so it is the one thing a client may not stall for long.
 *
 * Tokens are in every message after which all changes up to them have been sent: SnapshotCompleted, CaughtUp,
 * Heartbeat, and the last of a run of changes.
 */
import { status } from '@grpc/grpc-js';
import { ResetReason } from '../../gen/tallyback/common/v1/watch.ts';
import { pauseUpTo } from '../edges.ts';
import { ApiError } from '../errors.ts';
import { follow, type FollowListener } from './follow.ts';
import * as messages from './messages.ts';
import type { Outlet } from './outlet.ts';
import type { Moment } from './resume-token.ts';
import { sendSnapshot, type SnapshotParts } from './send-snapshot.ts';
import { Sender } from './sender.ts';
import type { WatchSettings } from './settings.ts';
import type { Stamps } from './stamps.ts';
import { OtherIncarnation, type Watched } from './watched.ts';

/** What all watches of one kind share. */
export interface WatchParts extends SnapshotParts {
  readonly stamps: Stamps;
}

/** What one client wants to see, and how. */
export interface WatchPlan {
  readonly watched: Watched;
  /** Names what is watched: see resume-token.ts. */
  readonly scope: string;
  readonly settings: WatchSettings;
}

/** Sends until the outlet's ending; rejects with its reason, or why else the watch ends. */
export const watch = (parts: WatchParts, plan: WatchPlan, outlet: Outlet): Promise<never> =>
  new Promise((_, reject) => new Watch(parts, plan, outlet, reject).begin());

/** Ten thousand may be following: who does keeps no suspended function, and no promise but the one that its end settles. */
class Watch implements FollowListener {
  readonly #parts: WatchParts;
  readonly #plan: WatchPlan;
  readonly #outlet: Outlet;
  readonly #sender: Sender;
  readonly #reject: (error: unknown) => void;
  /** By a resume token that has not held yet. */
  #resumes: boolean;

  constructor(parts: WatchParts, plan: WatchPlan, outlet: Outlet, reject: (error: unknown) => void) {
    const { stamps, limits, counts } = parts;
    const { scope, settings } = plan;
    const { heartbeatMs, resumeFrom } = settings;
    this.#parts = parts;
    this.#plan = plan;
    this.#outlet = outlet;
    this.#reject = reject;
    this.#resumes = resumeFrom !== undefined;
    this.#sender = new Sender({ outlet, stamps, counts, scope, heartbeatMs, stallMs: limits.writeStallMs });
  }

  begin(): void {
    const { watched, settings } = this.#plan;
    this.#follow(watched.begin(settings).then((from) => from ?? this.#snapshot()));
  }

  heard(): void {
    this.#resumes = false;
  }

  ended(error: unknown): void {
    if (!(error instanceof OtherIncarnation)) this.#end(error);
    else if (this.#plan.settings.failOnReset) this.#end(outdated());
    else this.#follow(this.#reset());
  }

  #follow(moment: Promise<Moment>): void {
    const { watched, settings } = this.#plan;
    const sender = this.#sender;
    moment
      .then((from) => {
        sender.incarnation = from.incarnation;
        follow({ watched, settings, sender, ending: this.#outlet.ending, from, listener: this });
      })
      .catch((error: unknown) => this.ended(error));
  }

  #snapshot(): Promise<Moment> {
    return sendSnapshot(this.#parts, this.#plan.watched, this.#outlet, this.#sender);
  }

  async #reset(): Promise<Moment> {
    const { counts, limits } = this.#parts;
    const reason = this.#resumes ? ResetReason.TOKEN_OUTDATED : ResetReason.REBUILT;
    counts.resets++;
    await this.#sender.send(messages.reset(reason));
    this.#resumes = false;
    await this.#outlet.ending.during((signal) => pauseUpTo(limits.resetSpreadMs, signal));
    return this.#snapshot();
  }

  #end(error: unknown): void {
    if (error instanceof ApiError && error.reason === 'SLOW_CONSUMER') this.#outlet.cutOff();
    this.#sender.end();
    this.#plan.watched.end?.();
    this.#reject(error);
  }
}

const outdated = (): ApiError =>
  new ApiError(
    status.OUT_OF_RANGE,
    'RESUME_TOKEN_OUTDATED',
    'the read model was folded anew: watch again without a resume token',
  );

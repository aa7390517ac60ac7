/**
 * One client that is as far as what it watches, and is told what happens.
 *
 *   idle → turn         it was woken: something may have changed; or nothing was said for too long
 *   turn                takes what there is, sends it, says whether that is all, and says that the stream is alive if
 *                       nothing else was to be said. A conflation window lets changes collect before that
 *     → turn            there is more (a flood), or it was woken meanwhile
 *     → idle            else
 *     → ended           the call is over, or one of these steps failed
 *
 * Ten thousand are idle, and a change may be for thousands of them: who is idle keeps no promise and no suspended
 * function, and a turn in which there is nothing to wait for is over before `wake` returns.
 */
import { comparePositions, type Position } from '../../eventstore/port.ts';
import { pause } from '../edges.ts';
import type { Ending } from '../ending.ts';
import * as messages from './messages.ts';
import type { Moment } from './resume-token.ts';
import type { Sender } from './sender.ts';
import type { WatchSettings } from './settings.ts';
import type { Changes, Subscription, Watched } from './watched.ts';

export interface FollowOptions {
  readonly watched: Watched;
  readonly settings: WatchSettings;
  readonly sender: Sender;
  readonly ending: Ending;
  readonly from: Moment;
  readonly listener: FollowListener;
}

export interface FollowListener {
  /** What is watched has said something. */
  heard(): void;
  /** Once, with the reason why the call is over, or OtherIncarnation, or why else it cannot go on. Perhaps before `follow` returns. */
  ended(error: unknown): void;
}

export const follow = (options: FollowOptions): void => new Follower(options).begin();

class Follower {
  readonly #options: FollowOptions;
  readonly #subscription: Subscription;
  readonly #over = (): void => this.#go();
  /** There may be something to take. */
  #changed = true;
  /** Also before the first, and after the last. */
  #inTurn = true;
  #inFlood = false;
  #said: 'nothing' | 'caught up' | 'fell behind' = 'nothing';

  constructor(options: FollowOptions) {
    const { watched, settings, sender, ending, from } = options;
    this.#options = options;
    this.#subscription = watched.subscribe({
      from,
      awaited: settings.notCaughtUpBefore,
      wake: () => {
        this.#changed = true;
        this.#go();
      },
    });
    // In the midst of a turn it is something else that is waited for.
    sender.silence.onSilence = () => (this.#inTurn ? sender.alive() : this.#go());
    ending.listen(this.#over);
  }

  begin(): void {
    this.#inTurn = false;
    this.#go();
  }

  /** Turns, until there is nothing to do, or something to wait for. */
  #go(): void {
    if (this.#inTurn) return;
    this.#inTurn = true;
    try {
      const { ending, sender } = this.#options;
      for (;;) {
        ending.throwIfOver();
        if (!this.#changed && !sender.silence.isTooLong) break;
        const waiting = this.#turn();
        if (!waiting) continue;
        waiting.then(
          () => this.begin(),
          (error: unknown) => this.#end(error),
        );
        return;
      }
      this.#inTurn = false;
    } catch (error) {
      this.#end(error);
    }
  }

  #turn(): Promise<void> | undefined {
    const { settings } = this.#options;
    // In silence also a look of its own: a notification may have been lost.
    if (!this.#changed) this.#subscription.poke(settings.heartbeatMs / 2);
    else if (this.#said !== 'nothing' && !this.#inFlood && settings.conflationMs > 0) return this.#collect();
    return this.#take();
  }

  /** Lets changes collect. */
  async #collect(): Promise<void> {
    const { settings, ending } = this.#options;
    await ending.during((signal) => pause(settings.conflationMs, signal));
    await this.#take();
  }

  #take(): Promise<void> | undefined {
    this.#changed = false;
    const taken = this.#subscription.take();
    return taken instanceof Promise ? taken.then((changes) => this.#tell(changes)) : this.#tell(taken);
  }

  #tell({ events, through, more }: Changes): Promise<void> | undefined {
    const { ending, sender, listener } = this.#options;
    ending.throwIfOver();
    listener.heard();
    this.#inFlood = more === 'now';
    if (this.#inFlood) this.#changed = true;
    const isAll = more === undefined;
    const sending = sender.sendAll(events, through);
    return sending ? sending.then(() => this.#conclude(through, isAll)) : this.#conclude(through, isAll);
  }

  #conclude(through: Position | undefined, isAll: boolean): Promise<void> | undefined {
    const saying = this.#sayHowFar(through, isAll);
    return saying ? saying.then(() => this.#sayAlive(through)) : this.#sayAlive(through);
  }

  /** Whether what was sent is all there is, when that has become otherwise. */
  #sayHowFar(through: Position | undefined, isAll: boolean): Promise<void> | undefined {
    const { sender, settings } = this.#options;
    const { behindFor } = this.#subscription;
    if (behindFor !== undefined || !through || !isAll) {
      // Who is just beginning has much to read, and is not behind for that.
      if (this.#said === 'fell behind' || (this.#said === 'nothing' && behindFor === undefined))
        return undefined;
      this.#said = 'fell behind';
      return sender.send(messages.fellBehind(behindFor));
    }
    if (this.#said === 'caught up') return undefined;
    const { notCaughtUpBefore } = settings;
    if (notCaughtUpBefore && comparePositions(through, notCaughtUpBefore) < 0) return undefined;
    this.#said = 'caught up';
    return sender.send(messages.caughtUp, through);
  }

  #sayAlive(through: Position | undefined): Promise<void> | undefined {
    const { sender } = this.#options;
    return sender.silence.isTooLong ? sender.heartbeat(through) : undefined;
  }

  #end(error: unknown): void {
    this.#options.ending.forget(this.#over);
    this.#subscription.end();
    this.#options.listener.ended(error);
  }
}

/** The command side as policies see it: what was asked for is carried out once, however often it is asked. */
import {
  type CommandBus,
  type CommandOutcome,
  type CommandRequest,
  CommandUnavailable,
} from '../../src/application/commands.ts';
import { accountStream, itemStream } from '../../src/domain/streams.ts';
import { logStart } from '../../src/eventstore/port.ts';
import type { Instance } from './instance.ts';
import type { Scheduler } from './scheduler.ts';
import type { StoreNetwork } from './store.ts';

/** What has been carried out: outcomes are kept in the streams, so all processes share them. */
export class CarriedOut {
  /** Request ids by stream, in the order in which they were carried out. */
  readonly byStream = new Map<string, string[]>();
  readonly #all = new Set<string>();

  has(requestId: string): boolean {
    return this.#all.has(requestId);
  }

  get size(): number {
    return this.#all.size;
  }

  /** False: it had been before. */
  add(stream: string, requestId: string): boolean {
    if (this.#all.has(requestId)) return false;
    this.#all.add(requestId);
    const list = this.byStream.get(stream);
    if (list) list.push(requestId);
    else this.byStream.set(stream, [requestId]);
    return true;
  }
}

interface Waiting {
  readonly request: CommandRequest;
  readonly resolve: (outcome: CommandOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** One process' way to it: a mailbox for every stream, and a network that loses requests and answers. */
export function simulatedBus(
  carriedOut: CarriedOut,
  network: StoreNetwork,
  instance: Instance,
  scheduler: Scheduler,
): CommandBus {
  const mailboxes = new Map<string, Waiting[]>();

  async function drain(stream: string, mailbox: Waiting[]): Promise<void> {
    for (let next = mailbox[0]; next; next = mailbox[0]) {
      const { latency, failures } = network.faults;
      await instance.wait(scheduler.exponential(latency));
      const fails = scheduler.chance(failures);
      const duplicate =
        fails && scheduler.chance(0.5) ? undefined : !carriedOut.add(stream, next.request.requestId);
      if (fails || duplicate === undefined) {
        // What waits behind it was to come after it.
        for (const { reject } of mailbox.splice(0)) reject(new CommandUnavailable('no answer'));
      } else {
        mailbox.shift();
        next.resolve({ kind: 'accepted', revision: 0, position: logStart, duplicate, unchanged: false });
      }
    }
    mailboxes.delete(stream);
  }

  return {
    execute: (request) =>
      new Promise((resolve, reject) => {
        const stream = streamOf(request);
        const mailbox = mailboxes.get(stream);
        if (mailbox) return void mailbox.push({ request, resolve, reject });
        const fresh = [{ request, resolve, reject }];
        mailboxes.set(stream, fresh);
        void drain(stream, fresh);
      }),
  };
}

function streamOf(request: CommandRequest): string {
  switch (request.aggregate) {
    case 'account':
      return accountStream(request.command.member, request.command.currency);
    case 'item':
      return itemStream(request.command.merchant, request.command.sku);
    case 'order':
    case 'programme':
      throw new Error('no policy asks for that');
  }
}

/** A command bus that does what the test says, and remembers what it was asked. */
import type { CommandBus, CommandOutcome, CommandRequest } from '../../../src/application/commands.ts';
import { at } from './tables.ts';

export class FakeBus implements CommandBus {
  readonly requests: CommandRequest[] = [];
  /** In progress now, and the most there were at once. */
  running = 0;
  most = 0;
  position = 0;
  /** What is done with a request; default: accepted at once. */
  behaviour: (request: CommandRequest) => Promise<CommandOutcome> = async () => this.accept();

  accept(): CommandOutcome {
    this.position++;
    return { kind: 'accepted', revision: 0, position: at(this.position), duplicate: false, unchanged: false };
  }

  refuse(
    reason: string,
    refusalClass: 'not-found' | 'already-exists' | 'precondition' | 'invalid',
  ): CommandOutcome {
    this.position++;
    return {
      kind: 'refused',
      refusal: { reason, message: `because of ${reason}`, class: refusalClass },
      position: at(this.position),
      duplicate: false,
    };
  }

  async execute(request: CommandRequest): Promise<CommandOutcome> {
    this.requests.push(request);
    this.running++;
    this.most = Math.max(this.most, this.running);
    try {
      return await this.behaviour(request);
    } finally {
      this.running--;
    }
  }
}

/** Something that opens later. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** `tallyback import online-retail`. */
import { systemClock } from '../operations/timing.ts';
import { runImport } from './import/run-import.ts';
import { roles } from '../operations/configuration.ts';
import { configurationOf } from './event-store.ts';
import { addressOf, startInstance } from './instance.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface ImportCommand {
  readonly file: string;
  readonly target: string | undefined;
  readonly standalone: boolean;
  readonly data: string | undefined;
  readonly eventStore: string | undefined;
  readonly rebateBps: number | undefined;
  readonly holdDays: number | undefined;
  /** Minor units; undefined: nobody withdraws. */
  readonly withdrawMonthly: number | undefined;
  readonly report: string | undefined;
}

export async function importOnlineRetail(command: ImportCommand, terminal: Terminal): Promise<number> {
  const { rebateBps, holdDays, target, standalone } = command;
  if (rebateBps === undefined) throw new UsageError('import needs --rebate-bps');
  if (holdDays === undefined) throw new UsageError('import needs --hold-days');
  if ((target === undefined) === !standalone) {
    throw new UsageError('import needs either --target HOST:PORT or --standalone');
  }
  if (target !== undefined && command.data !== undefined)
    throw new UsageError('--data goes with --standalone');
  if (target !== undefined && command.eventStore !== undefined)
    throw new UsageError('--event-store goes with --standalone');

  const send = async (address: string): Promise<number> => {
    const summary = await runImport(
      {
        file: command.file,
        target: address,
        rebateBps,
        holdDays,
        withdrawMonthly: command.withdrawMonthly,
        report: command.report,
      },
      {
        out: process.stdout,
        isTTY: process.stdout.isTTY,
        signal: terminal.signal,
        clock: systemClock,
      },
    );
    return summary.completed ? 0 : 1;
  };

  if (target !== undefined) return send(target);
  const configuration = configurationOf({
    data: command.data,
    listen: '127.0.0.1:0',
    'event-store': command.eventStore,
  });
  const instance = await startInstance({ ...configuration, roles }, terminal.log);
  try {
    return await send(addressOf(instance));
  } finally {
    await instance.stop();
  }
}

/** Whether commands are coming in just now. */
import type { CommandBus } from '../application/commands.ts';
import { systemTiming } from '../operations/timing.ts';

/** Milliseconds without a command after which there is nobody to yield to. */
const quietAfter = 100;

/** The same bus, and whether it has been used a moment ago. */
export function watchedBus(bus: CommandBus): CommandBus & { isBusy(): boolean } {
  let usedAt = -Infinity;
  return {
    execute(request) {
      usedAt = systemTiming.monotonic();
      return bus.execute(request);
    },
    isBusy: () => systemTiming.monotonic() - usedAt < quietAfter,
  };
}

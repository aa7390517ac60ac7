/** What the demo shows of the read models, asked for again about once a second. */
import type { Connection } from '../client/connect.ts';
import { unary } from '../client/unary.ts';
import { pause } from '../client/backoff.ts';
import type { Checkpoint } from '../../gen/tallyback/system/v1/system_service.ts';
import { type Window, WindowLength } from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import type { Stock } from '../../gen/tallyback/item/v1/item_query_service.ts';

export interface Feeds {
  checkpoints: readonly Checkpoint[];
  stock: readonly Stock[];
  days: readonly Window[];
  hours: readonly Window[];
}

const day = 86_400_000;
const shortWait = 3_000;

/** Keeps the feeds fresh until the signal aborts. A question that fails is asked again in the next round. */
export async function refresh(
  feeds: Feeds,
  { system, items, figures }: Connection,
  shopTime: () => Date,
  signal: AbortSignal,
): Promise<void> {
  const options = { signal, deadlineMs: shortWait };
  const page = { pageSize: 1_000, pageToken: '' };
  const windows = async (length: WindowLength, reach: number): Promise<readonly Window[]> => {
    const from = new Date(shopTime().getTime() - reach);
    const request = { merchant: '', length, from, until: undefined, page, consistency: undefined };
    return (await unary(figures, figures.listWindows, request, options)).windows;
  };
  while (!signal.aborted) {
    try {
      feeds.checkpoints = (await unary(system, system.listCheckpoints, {}, options)).checkpoints;
      const stock = { merchant: '', page, consistency: undefined };
      feeds.stock = (await unary(items, items.listStock, stock, options)).stock;
      feeds.days = await windows(WindowLength.DAY, 5 * day);
      feeds.hours = await windows(WindowLength.HOUR, day / 4);
    } catch {
      // The display goes on with what it has.
    }
    await pause(800, signal).catch(() => undefined);
  }
}

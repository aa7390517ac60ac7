/** Pages of the log that several subscribers share. */
import { expect, test } from 'vitest';
import { SharedPages } from '../../src/eventstore/eventstoredb/shared-pages.ts';
import type { LogPage } from '../../src/eventstore/eventstoredb/reader.ts';
import type { Position } from '../../src/eventstore/port.ts';
import { rejection } from './samples.ts';

const at = (n: number): Position => ({ commit: BigInt(n), prepare: BigInt(n) });
const pageAfter = (n: number, atEnd = false): LogPage => ({
  events: [],
  through: at(n + 10),
  atEnd,
  full: !atEnd,
});

interface Asked {
  readonly after: number;
  readonly give: (page: LogPage) => void;
  readonly fail: (error: Error) => void;
}

function shared(most = 3): { readonly pages: SharedPages; readonly asked: Asked[] } {
  const asked: Asked[] = [];
  const read = (after: Position): Promise<LogPage> =>
    new Promise((give, fail) => void asked.push({ after: Number(after.commit), give, fail }));
  return { pages: new SharedPages(read, most), asked };
}

/** Lets everything go on that can. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

async function asks(pages: SharedPages, asked: Asked[], after: number, atEnd = false): Promise<boolean> {
  const before = asked.length;
  const page = pages.after(at(after));
  await turn();
  asked[before]?.give(pageAfter(after, atEnd));
  expect((await page).through).toEqual(at(after + 10));
  return asked.length > before;
}

test('subscribers who want the same page while it is being read get the same one', async () => {
  const { pages, asked } = shared();
  const first = pages.after(at(0));
  await turn();
  const others = [pages.after(at(0)), pages.after(at(0))];
  await turn();
  expect(asked).toHaveLength(1);
  const page = pageAfter(0);
  asked[0]?.give(page);
  for (const got of await Promise.all([first, ...others])) expect(got).toBe(page);
});

test('a page within the log is read once, as long as it is among the latest', async () => {
  const { pages, asked } = shared(3);
  for (const after of [0, 10, 20]) expect(await asks(pages, asked, after)).toBe(true);
  for (const after of [20, 0, 10]) expect(await asks(pages, asked, after)).toBe(false);
  expect(await asks(pages, asked, 30)).toBe(true);
  // The oldest had to go, and nothing else.
  for (const after of [10, 20, 30]) expect(await asks(pages, asked, after)).toBe(false);
  expect(await asks(pages, asked, 0)).toBe(true);
});

test('a page that reached the end of the log is read again for everybody who asks later', async () => {
  const { pages, asked } = shared();
  expect(await asks(pages, asked, 0, true)).toBe(true);
  expect(await asks(pages, asked, 0, true)).toBe(true);
  expect(await asks(pages, asked, 0)).toBe(true);
  expect(await asks(pages, asked, 0)).toBe(false);
});

test('one who asks while the end is being read is not told of a moment before the question', async () => {
  const { pages, asked } = shared();
  const early = pages.after(at(0));
  await turn();
  const late = pages.after(at(0));
  await turn();
  asked[0]?.give(pageAfter(0, true));
  await early;
  await turn();
  expect(asked).toHaveLength(2);
  asked[1]?.give(pageAfter(5, true));
  expect((await late).through).toEqual(at(15));
});

test('a page that could not be read is asked for again, by everybody who waited', async () => {
  const { pages, asked } = shared();
  const first = rejection(pages.after(at(0)));
  await turn();
  const second = pages.after(at(0));
  asked[0]?.fail(new Error('gone'));
  expect(await first).toMatchObject({ message: 'gone' });
  await turn();
  asked[1]?.give(pageAfter(0));
  expect((await second).through).toEqual(at(10));
  expect(await asks(pages, asked, 0)).toBe(false);
});

test('a failed page that nobody waits for harms nobody', async () => {
  const { pages, asked } = shared(1);
  const failing = rejection(pages.after(at(0)));
  const other = pages.after(at(1));
  await turn();
  asked[1]?.give(pageAfter(1));
  await other;
  asked[0]?.fail(new Error('gone'));
  await failing;
  expect(await asks(pages, asked, 0)).toBe(true);
});

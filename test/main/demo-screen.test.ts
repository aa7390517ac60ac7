import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { chance, zipf } from '../../src/main/demo/chance.ts';
import { catalogue } from '../../src/main/demo/catalogue.ts';
import { beside, clip, openScreen, style, visibleWidth } from '../../src/main/demo/screen.ts';
import { shop } from '../../src/main/demo/shop.ts';
import { money, panel } from '../../src/main/demo/view.ts';

it('the same seed plays the same shop, another seed another', () => {
  const played = (seed: number): unknown[] => {
    const random = chance(seed);
    const play = shop(random, catalogue(random));
    return Array.from({ length: 2_000 }, (_, n) => play.next(new Date(n * 1_000)));
  };
  const first = played(7);
  expect(played(7)).toEqual(first);
  expect(played(8)).not.toEqual(first);
});

it('a few ranks come up most often, and every rank may', () => {
  const draw = zipf(chance(1), 20);
  const times = Array.from({ length: 20 }, () => 0);
  for (let n = 0; n < 20_000; n += 1) {
    const rank = draw();
    times[rank] = (times[rank] ?? 0) + 1;
  }
  expect(Math.min(...times)).toBeGreaterThan(0);
  expect(times[0]).toBeGreaterThan(3 * (times[9] ?? 0));
});

it('colours take no columns', () => {
  const s = style(true);
  const text = `${s.good('equal')} and ${s.warn('different')}`;
  expect(visibleWidth(text)).toBe(19);
  expect(visibleWidth(clip(text, 7))).toBe(7);
  expect(clip(text, 7).endsWith('\x1b[0m')).toBe(true);
  expect(style(false).good('equal')).toBe('equal');
  expect(beside(2, [s.bold('a'), 'bbb'], ['x']).map(visibleWidth)).toEqual([8, 8]);
});

it('columns are aligned, also in a table that is not full', () => {
  const lines = panel(
    style(false),
    'Title',
    [
      ['name', 6, 'left'],
      ['n', 4, 'right'],
    ],
    [['ab', '12']],
    2,
  );
  expect(lines).toEqual(['Title', 'name       n', 'ab        12', '']);
});

it('frames are drawn over each other, and the terminal is given back once', () => {
  const out = new PassThrough();
  const screen = openScreen(out);
  screen.draw(['one']);
  screen.draw(['two']);
  screen.close();
  screen.close();
  const written = String(out.read());
  // Cleared once, at the start, and never again.
  expect(written.split('\x1b[2J')).toHaveLength(2);
  expect(written.split('\x1b[?25h')).toHaveLength(2);
  expect(written).toContain('\x1b[Htwo\x1b[K');
});

it('money is written exactly', () => {
  expect([0n, 5n, -5n, 123456789012345678n].map(money)).toEqual([
    '0.00',
    '0.05',
    '-0.05',
    '1,234,567,890,123,456.78',
  ]);
});

/** The demo's figures as lines of text: a whole frame for a terminal, one line for anything else. */
import { grouped } from '../client/text.ts';
import type { Balance } from '../../gen/tallyback/account/v1/account_query_service.ts';
import type { Window } from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import type { Feeds } from './feeds.ts';
import type { Latencies, Metrics } from './metrics.ts';
import { beside, padTo, type Style } from './screen.ts';

export interface Scene {
  readonly metrics: Metrics;
  readonly feeds: Feeds;
  readonly balances: readonly Balance[];
  readonly watchMessages: number;
  readonly waiting: number;
  readonly shopTime: Date;
  readonly elapsed: number;
  readonly seconds: number;
  readonly seed: number;
  /** What is going on: "playing", "checking". */
  readonly stage: string;
}

export function money(minor: bigint): string {
  const digits = (minor < 0n ? -minor : minor).toString().padStart(3, '0');
  return `${minor < 0n ? '-' : ''}${grouped(BigInt(digits.slice(0, -2)))}.${digits.slice(-2)}`;
}

const ms = (value: number | undefined): string =>
  value === undefined ? '–' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

const percentiles = (latencies: Latencies): string =>
  `p50 ${ms(latencies.percentile(0.5))}  p99 ${ms(latencies.percentile(0.99))}`;

type Column = readonly [title: string, width: number, align: 'left' | 'right'];

/** A small table: a title, a dim header, aligned columns. */
export function panel(
  { bold, dim }: Style,
  title: string,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  height: number,
): string[] {
  const cells = (row: readonly string[]): string =>
    columns
      .map(([, width, align], index) => {
        const text = row[index] ?? '';
        return align === 'left' ? padTo(text, width) : text.padStart(width);
      })
      .join('  ');
  const body = rows.slice(0, height).map(cells);
  while (body.length < height) body.push('');
  return [bold(title), dim(cells(columns.map(([name]) => name))), ...body];
}

const descending = <T>(rows: readonly T[], by: (row: T) => bigint): T[] =>
  rows.toSorted((a, b) => (by(a) < by(b) ? 1 : by(a) > by(b) ? -1 : 0));

const byStart = (windows: readonly Window[]): Window[] =>
  windows
    .filter((window) => window.orders > 0n)
    .toSorted(
      (a, b) => (b.start?.getTime() ?? 0) - (a.start?.getTime() ?? 0) || (a.merchant < b.merchant ? -1 : 1),
    );

const windowColumns: readonly Column[] = [
  ['window', 15, 'left'],
  ['merchant', 14, 'left'],
  ['', 3, 'left'],
  ['orders', 6, 'right'],
  ['sales', 11, 'right'],
  ['earned', 9, 'right'],
  ['taken back', 10, 'right'],
];

const windowRows = (windows: readonly Window[], digits: number): string[][] =>
  byStart(windows).map((w) => [
    (w.start?.toISOString().slice(0, digits) ?? '').replace('T', ' ') + (digits > 10 ? ' h' : ''),
    w.merchant,
    w.currency,
    grouped(w.orders),
    money(w.salesMinor),
    money(w.earnedMinor),
    money(w.clawedMinor),
  ]);

function lag({ checkpoints }: Feeds, kind: string): string {
  const of = checkpoints.filter(({ name }) => name.startsWith(`${kind}:`));
  if (of.length === 0) return '–';
  const most = of.reduce((max, { lagEvents }) => (lagEvents > max ? lagEvents : max), 0n);
  return `${grouped(most)} events`;
}

const totalOf = (balance: Balance): bigint => balance.availableMinor + balance.pendingMinor;

export function frame(scene: Scene, s: Style): string[] {
  const { metrics, feeds, balances } = scene;
  const rate = Math.round(metrics.rate.perSecond(performance.now()));
  const filled = Math.min(30, Math.round((scene.elapsed / scene.seconds) * 30));
  const bar = s.accent('━'.repeat(filled)) + s.dim('━'.repeat(30 - filled));
  const when = scene.shopTime.toISOString().slice(0, 16).replace('T', ' ');
  const label = (text: string): string => s.dim(text.padEnd(11));
  const held = padTo(
    `${grouped(balances.length)} balances held, ${grouped(scene.watchMessages)} messages`,
    40,
  );
  return [
    `${s.bold('Tallyback')}  ${bar}  ${scene.stage}   ${s.dim(`shop time ${when}   seed ${scene.seed}`)}`,
    '',
    `${label('commands')}${padTo(s.bold(`${grouped(rate)}/s`), 10)}${grouped(metrics.sent)} sent   ` +
      `${s.good(`${grouped(metrics.accepted)} accepted`)}   ${s.accent(`${grouped(metrics.duplicate)} duplicate or unchanged`)}   ` +
      `${s.warn(`${grouped(metrics.refused)} refused`)}   ${grouped(scene.waiting)} waiting`,
    `${label('latency')}${padTo(`command ${percentiles(metrics.commands)}`, 40)}command → watch ${percentiles(metrics.watch)}`,
    `${label('watch')}${held}${s.dim('lag')} read models ${lag(feeds, 'projection')}, policies ${lag(feeds, 'policy')}`,
    '',
    ...beside(
      3,
      panel(
        s,
        'Top balances',
        [
          ['member', 11, 'left'],
          ['', 3, 'left'],
          ['pending', 9, 'right'],
          ['available', 10, 'right'],
          ['paid', 9, 'right'],
          ['owes', 7, 'right'],
        ],
        descending(balances, totalOf).map((b) => [
          b.member,
          b.currency,
          money(b.pendingMinor),
          money(b.availableMinor),
          money(b.paidMinor),
          b.debtMinor > 0n ? money(b.debtMinor) : '',
        ]),
        7,
      ),
      panel(
        s,
        'Stock, most sold first',
        [
          ['merchant', 14, 'left'],
          ['item', 12, 'left'],
          ['sold', 6, 'right'],
          ['back', 5, 'right'],
          ['on hand', 7, 'right'],
        ],
        descending(feeds.stock, (row) => row.sold).map((row) => [
          row.merchant,
          row.sku,
          grouped(row.sold),
          grouped(row.takenBack),
          grouped(row.onHand),
        ]),
        7,
      ),
    ),
    '',
    ...beside(
      3,
      [
        ...panel(s, 'By day', windowColumns, windowRows(feeds.days, 10), 6),
        '',
        ...panel(s, 'By hour', windowColumns, windowRows(feeds.hours, 13), 5),
      ],
      panel(
        s,
        'Refusals',
        [
          ['reason', 26, 'left'],
          ['times', 6, 'right'],
        ],
        [...metrics.reasons].toSorted(([, a], [, b]) => b - a).map(([why, times]) => [why, grouped(times)]),
        14,
      ),
    ),
  ];
}

export function oneLine({ metrics, feeds, elapsed, waiting, balances, shopTime }: Scene): string {
  const rate = Math.round(metrics.rate.perSecond(performance.now()));
  return (
    `${elapsed.toFixed(0).padStart(3)} s  ${shopTime.toISOString().slice(0, 10)}  ${String(rate).padStart(4)}/s  ` +
    `${metrics.accepted} accepted, ${metrics.duplicate} duplicate or unchanged, ${metrics.refused} refused, ${waiting} waiting; ` +
    `command ${percentiles(metrics.commands)}; command to watch ${percentiles(metrics.watch)}; ` +
    `${balances.length} balances; lag ${lag(feeds, 'projection')}`
  );
}

/** Shows how far the import is: one line that is written over on a terminal, a line every few seconds elsewhere. */
import { grouped } from '../client/text.ts';
import type { ImportIo } from './options.ts';

export interface Progress {
  /** What goes on now; shown until the next stage. */
  stage(text: string): void;
  /** Rows that have been dealt with. */
  rows(done: number): void;
  /** A line that stays. */
  say(line: string): void;
  /** Takes the changing line away. */
  end(): void;
}

const duration = (seconds: number): string =>
  seconds < 60
    ? `${Math.ceil(seconds)} s`
    : `${Math.floor(seconds / 60)} min ${Math.ceil(seconds % 60)
        .toString()
        .padStart(2, '0')} s`;

export function showProgress({ out, isTTY, clock }: ImportIo, total: () => number): Progress {
  const everyMs = isTTY ? 100 : 5_000;
  const startedAt = clock().getTime();
  let stage = '';
  let done = 0;
  let sendingSince: number | undefined;
  let shownAt = startedAt;

  const text = (now: number): string => {
    if (sendingSince === undefined) return stage;
    const all = total();
    const seconds = Math.max(0.001, (now - sendingSince) / 1_000);
    const rate = done / seconds;
    const percent = all > 0 ? Math.floor((done * 100) / all) : 0;
    const left = done > 0 && done < all ? `, ${duration((all - done) / rate)} left` : '';
    const rows = `${grouped(done)} of ${grouped(all)} rows (${percent} %), ${grouped(Math.round(rate))} rows/s${left}`;
    return stage ? `${rows}; ${stage}` : rows;
  };
  const show = (force: boolean): void => {
    const now = clock().getTime();
    if (!force && now - shownAt < everyMs) return;
    shownAt = now;
    out.write(isTTY ? `\r${text(now)}\x1b[K` : `${text(now)}\n`);
  };
  return {
    stage(next) {
      if (next === stage) return;
      stage = next;
      show(isTTY);
    },
    rows(now) {
      sendingSince ??= clock().getTime();
      done = now;
      show(false);
    },
    say(line) {
      out.write(isTTY ? `\r${line}\x1b[K\n` : `${line}\n`);
    },
    end() {
      if (isTTY) out.write('\r\x1b[K');
    },
  };
}

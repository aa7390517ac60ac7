/** Draws frames in place: the cursor goes home and lines are written over, so that nothing flickers. */

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warn(text: string): string;
  accent(text: string): string;
}

const colour = (code: number) => (text: string) => `\x1b[${code}m${text}\x1b[0m`;
const plain = (text: string): string => text;

export const style = (coloured: boolean): Style =>
  coloured
    ? { bold: colour(1), dim: colour(2), good: colour(32), warn: colour(33), accent: colour(36) }
    : { bold: plain, dim: plain, good: plain, warn: plain, accent: plain };

// oxlint-disable-next-line no-control-regex
const escapes = /(\x1b\[[0-9;]*m)/g;

/** Columns that a text takes up. */
export const visibleWidth = (text: string): number => text.replace(escapes, '').length;

export const padTo = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - visibleWidth(text)));

/** Cuts a text at so many columns, and ends its colours. */
export function clip(text: string, width: number): string {
  if (visibleWidth(text) <= width) return text;
  let [out, used] = ['', 0];
  for (const part of text.split(escapes)) {
    if (part.startsWith('\x1b')) {
      out += part;
      continue;
    }
    const fitting = part.slice(0, width - used);
    out += fitting;
    used += fitting.length;
  }
  return `${out}\x1b[0m`;
}

/** Blocks of lines, one beside the other. */
export function beside(gap: number, ...blocks: readonly (readonly string[])[]): string[] {
  const height = Math.max(...blocks.map((block) => block.length));
  const widths = blocks.map((block) => Math.max(0, ...block.map(visibleWidth)));
  return Array.from({ length: height }, (_, row) =>
    blocks.map((block, index) => padTo(block[row] ?? '', (widths[index] ?? 0) + gap)).join(''),
  );
}

export interface Screen {
  draw(lines: readonly string[]): void;
  /** Gives the terminal back as it was. Safe to call twice. */
  close(): void;
}

/** Uses the alternate screen: what was on the terminal before is there again afterwards. */
export function openScreen(out: NodeJS.WritableStream): Screen {
  const size = (name: 'columns' | 'rows', otherwise: number): number => {
    const value: unknown = Reflect.get(out, name);
    return typeof value === 'number' && value > 0 ? value : otherwise;
  };
  const restore = '\x1b[?25h\x1b[?1049l';
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    process.off('exit', close);
    out.write(restore);
  };
  // Also when the process ends in a way that nobody planned.
  process.on('exit', close);
  out.write('\x1b[?1049h\x1b[?25l\x1b[2J');
  return {
    draw(lines) {
      if (!open) return;
      const [columns, rows] = [size('columns', 100), size('rows', 40)];
      const shown = lines.slice(0, rows - 1).map((line) => `${clip(line, columns)}\x1b[K\n`);
      // What an earlier, longer frame left below is cleared; nothing else ever is.
      out.write(`\x1b[H${shown.join('')}\x1b[J`);
    },
    close,
  };
}

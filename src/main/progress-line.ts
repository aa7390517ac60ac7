/** A line of progress: rewritten in place on a terminal, now and then a new one elsewhere. */
export interface ProgressLine {
  show(text: string): void;
  /** Leaves the last line standing. */
  end(): void;
}

const everyMs = 5_000;

export function progressLine(out: NodeJS.WriteStream): ProgressLine {
  let last = -everyMs;
  let shown = false;
  return {
    show(text) {
      if (out.isTTY) {
        out.write(`\r\u001b[2K${text.slice(0, out.columns - 1)}`);
        shown = true;
      } else if (performance.now() - last >= everyMs) {
        last = performance.now();
        out.write(`${text}\n`);
      }
    },
    end() {
      if (shown) out.write('\n');
      shown = false;
    },
  };
}

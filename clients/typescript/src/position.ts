/**
 * What a session has done so far, as the one position token its reads must not be behind.
 *
 * Tokens cannot be compared, and a later answer does not mean a later position: commands run side by side, and one that
 * changed nothing, or was carried out long ago, is answered with where that was. So a token is known to be the latest
 * only if it is of something new that was sent when all others had come. Where it is not known which of several is the
 * latest, the end of the log is asked for, which no token is beyond.
 */

/** Fetches the token of the end of the log. */
export type Head = () => Promise<string>;

export class SessionPosition {
  #token = '';
  #isLatest = true;
  /** Tokens noted so far. */
  #noted = 0;

  /** To be given to `note` with the answer of what is sent now. */
  get sent(): number {
    return this.#noted;
  }

  /** `isNew`: it is of something that happened after it was `sent`, not before. */
  note(token: string, sent: number, isNew: boolean): void {
    if (token === '' || token === this.#token) return;
    this.#isLatest = this.#token === '' || (isNew && sent === this.#noted);
    this.#token = token;
    this.#noted++;
  }

  /** A token that everything noted so far is within; empty: nothing was noted. */
  async latest(head: Head): Promise<string> {
    if (this.#isLatest) return this.#token;
    const before = this.#noted;
    const token = await head();
    if (this.#noted === before) {
      this.#token = token;
      this.#isLatest = true;
    }
    return token;
  }
}

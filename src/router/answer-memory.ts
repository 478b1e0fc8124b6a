/** In two halves: entries, and characters of their keys. With keys of two bytes a character that is 4 MB. */
const MOST_ENTRIES = 5_000;
const MOST_CHARACTERS = 1_000_000;

/**
 * Remembers answers by key, a bounded number of them. When the young half is full the old one is forgotten and the young
 * one grows old; an answer that is asked for in the old half moves over. So keys that come again and again stay, however
 * many others come once.
 */
export class AnswerMemory<T extends object> {
  private young = new Map<string, T>();
  private old = new Map<string, T>();
  private characters = 0;

  get(key: string): T | undefined {
    const answer = this.young.get(key);
    if (answer) return answer;
    const older = this.old.get(key);
    if (older) this.set(key, older);
    return older;
  }

  set(key: string, answer: T): void {
    if (this.young.size >= MOST_ENTRIES || this.characters + key.length > MOST_CHARACTERS) {
      this.old = this.young;
      this.young = new Map();
      this.characters = 0;
    }
    this.young.set(key, answer);
    this.characters += key.length;
  }

  /** Entries and characters of both halves, for tests. */
  get size(): { readonly entries: number; readonly characters: number } {
    const keys = [...this.young.keys(), ...this.old.keys()];
    return { entries: keys.length, characters: keys.reduce((sum, key) => sum + key.length, 0) };
  }
}

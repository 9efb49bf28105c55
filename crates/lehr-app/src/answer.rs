//! A value with what must be known before it is used, and what was done to get it.

use lehr::Caveat;
use lehr_io::Note;

/// What a question returns: the typed answer, its caveats and notes.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The answer itself; the document that `--json` prints is made of it.
    pub value: T,
    /// What to beware of, those of the data before those of the answer.
    pub caveats: Vec<Caveat>,
    /// What was done or assumed on the way.
    pub notes: Vec<Note>,
}

impl<T> Answer<T> {
    /// An answer that nothing need be said about.
    #[must_use]
    pub fn plain(value: T) -> Self {
        Self { value, caveats: Vec::new(), notes: Vec::new() }
    }

    /// Whether a caveat blocks the use of the answer before a person has looked at it.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.caveats.iter().any(Caveat::blocking)
    }

    /// The same caveats and notes around another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: change(self.value), caveats: self.caveats, notes: self.notes }
    }
}

/// Adds caveats; what concerns a whole directory comes with each of its runs and is kept once.
pub fn add_caveats(caveats: &mut Vec<Caveat>, more: impl IntoIterator<Item = Caveat>) {
    for caveat in more {
        if !caveats.contains(&caveat) {
            caveats.push(caveat);
        }
    }
}

/// What several answers together are to be read with: each caveat and note once.
#[derive(Debug, Default)]
pub struct Gathered {
    caveats: Vec<Caveat>,
    notes: Vec<Note>,
}

impl Gathered {
    /// Takes what an answer says beside its value.
    pub fn take<T>(&mut self, answer: Answer<T>) -> T {
        add_caveats(&mut self.caveats, answer.caveats);
        for note in answer.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        answer.value
    }

    /// The answer that is made of the values; `value` is given the caveats that it holds itself.
    pub fn answer<T>(self, value: impl FnOnce(Vec<Caveat>) -> T) -> Answer<T> {
        Answer { value: value(self.caveats.clone()), caveats: self.caveats, notes: self.notes }
    }
}

/// What a list says one by one; where it is empty, what holds then.
pub fn each_or<T: Copy>(list: &[T], own: Option<T>) -> Vec<Option<T>> {
    if list.is_empty() { vec![own] } else { list.iter().copied().map(Some).collect() }
}

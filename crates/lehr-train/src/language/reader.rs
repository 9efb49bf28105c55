//! A reader of the language: what it knows after the tokens so far, and with which probability each token comes next.
//!
//! The same reader generates (it draws one of the options) and judges (it says how likely a given token was), so that the two
//! cannot disagree.

use super::lexicon::LETTERS;
use super::{Language, NOUN_MEMORY, SENTENCE_MEMORY, TOPICS};

/// Begins a sequence.
pub(super) const START: u32 = 0;
const PARAGRAPH: u32 = 1;
const STOP: u32 = 2;
const COMMA: u32 = 3;
/// A noun that was mentioned before follows.
const AGAIN: u32 = 4;
/// A sentence that was said before follows.
const QUOTE: u32 = 5;
/// Ends a noun.
const SPACE: u32 = 6;
pub(super) const BRACKETS: u32 = 4;
const OPEN: u32 = 7;
const CLOSE: u32 = OPEN + BRACKETS;
pub(super) const GENDERS: u32 = 8;
/// Ends a verb, and agrees with the subject.
const AGREEMENT: u32 = CLOSE + BRACKETS;
const TOPIC: u32 = AGREEMENT + GENDERS;
const LETTER: u32 = TOPIC + TOPICS;
/// Number of different tokens.
pub(super) const VOCABULARY: u32 = LETTER + LETTERS;

const P_PARAGRAPH: f64 = 0.04;
const P_QUOTE: f64 = 0.08;
const P_AGAIN: f64 = 0.25;
const P_OBJECT: f64 = 0.65;
/// Of what is left behind a verb and its object.
const P_COMMA: f64 = 0.15;
/// A relative clause behind a subject, by depth; none at the last.
const P_SUBJECT_CLAUSE: [f64; DEPTH] = [0.25, 0.2, 0.15, 0.1, 0.05, 0.0];
/// A relative clause behind an object.
const P_OBJECT_CLAUSE: [f64; DEPTH] = [0.2, 0.15, 0.1, 0.05, 0.02, 0.0];
const DEPTH: usize = 6;

/// Where the reader is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Start,
    Topic,
    /// Between sentences; whether a paragraph has just begun.
    Sentence {
        fresh: bool,
    },
    /// Before a nested clause's subject.
    NestedSubject,
    Noun {
        subject: bool,
        node: u16,
    },
    /// Inside a noun that was mentioned before: which of the remembered ones it still can be, and letters so far.
    Recall {
        subject: bool,
        alive: u16,
        letters: u8,
    },
    AfterSubject,
    Verb {
        node: u16,
    },
    AfterVerb,
    AfterObject,
    AfterObjectClause,
    /// Inside a sentence that was said before.
    Quoted {
        alive: u16,
        tokens: u32,
    },
}

/// A clause that is open.
#[derive(Debug, Clone, Copy, Default)]
struct Clause {
    /// Kind of its subject.
    kind: u8,
    /// The bracket that closes it.
    bracket: u8,
    /// Whether it stands behind its parent's subject, so that the parent's verb follows.
    behind_subject: bool,
}

/// What is known after some tokens.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    language: &'a Language,
    place: Place,
    clauses: [Clause; DEPTH],
    depth: usize,
    topic: u8,
    /// The context of the noun that is read or comes next.
    context: u16,
    /// Kind of the noun read last.
    kind: u8,
    /// Nouns mentioned, oldest first; the last of them are remembered.
    nouns: Vec<u16>,
    /// Sentences said, as places in `history`.
    sentences: Vec<(u32, u32)>,
    history: Vec<u8>,
    sentence_start: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(language: &'a Language, tokens: usize) -> Self {
        Self {
            language,
            place: Place::Start,
            clauses: [Clause::default(); DEPTH],
            depth: 0,
            topic: 0,
            context: 0,
            kind: 0,
            nouns: Vec::new(),
            sentences: Vec::new(),
            history: Vec::with_capacity(tokens),
            sentence_start: 0,
        }
    }

    /// The remembered nouns, latest first.
    fn remembered_nouns(&self) -> impl Iterator<Item = &u16> {
        self.nouns.iter().rev().take(NOUN_MEMORY)
    }

    fn remembered_sentences(&self) -> impl Iterator<Item = &(u32, u32)> {
        self.sentences.iter().rev().take(SENTENCE_MEMORY)
    }

    /// A noun, new or again, with the probability `share`.
    #[inline]
    fn noun_options(&self, share: f64, visit: &mut impl FnMut(u32, f64) -> bool) -> bool {
        let mut share = share;
        if !self.nouns.is_empty() {
            if visit(AGAIN, share * P_AGAIN) {
                return true;
            }
            share *= 1.0 - P_AGAIN;
        }
        self.letters(true, self.context, 0, share, visit)
    }

    #[inline]
    fn letters(
        &self,
        noun: bool,
        context: u16,
        node: u16,
        share: f64,
        visit: &mut impl FnMut(u32, f64) -> bool,
    ) -> bool {
        let lexicon = if noun { &self.language.nouns } else { &self.language.verbs };
        let end = if noun { SPACE } else { AGREEMENT + self.language.gender(self.clauses[self.depth].kind) };
        lexicon.options(context, node, share, |letter, p| {
            visit(letter.map_or(end, |letter| LETTER + u32::from(letter)), p)
        })
    }

    #[inline]
    fn verb_options(&self, node: u16, share: f64, visit: &mut impl FnMut(u32, f64) -> bool) -> bool {
        self.letters(false, self.clauses[self.depth].kind.into(), node, share, visit)
    }

    /// A comma or the end of the clause, with the probability `share`.
    #[inline]
    fn end_options(&self, share: f64, visit: &mut impl FnMut(u32, f64) -> bool) -> bool {
        let end = match self.depth {
            0 => STOP,
            depth => CLOSE + u32::from(self.clauses[depth].bracket),
        };
        visit(COMMA, share * P_COMMA) || visit(end, share * (1.0 - P_COMMA))
    }

    #[inline]
    fn clause_options(&self, p: f64, visit: &mut impl FnMut(u32, f64) -> bool) -> bool {
        p > 0.0 && (0..BRACKETS).any(|bracket| visit(OPEN + bracket, p / f64::from(BRACKETS)))
    }

    /// Passes every token that can come next to `visit`, once, with its probability, until `visit` has enough.
    #[inline]
    pub(super) fn options(&self, visit: &mut impl FnMut(u32, f64) -> bool) {
        match self.place {
            Place::Start => {
                visit(START, 1.0);
            }
            Place::Topic => {
                let _ = (0..TOPICS).any(|topic| visit(TOPIC + topic, 1.0 / f64::from(TOPICS)));
            }
            Place::Sentence { fresh } => {
                let mut rest = 1.0;
                if !fresh {
                    if visit(PARAGRAPH, P_PARAGRAPH) {
                        return;
                    }
                    rest -= P_PARAGRAPH;
                }
                if !self.sentences.is_empty() {
                    if visit(QUOTE, P_QUOTE) {
                        return;
                    }
                    rest -= P_QUOTE;
                }
                self.noun_options(rest, visit);
            }
            Place::NestedSubject => {
                self.noun_options(1.0, visit);
            }
            Place::Noun { node, .. } => {
                self.letters(true, self.context, node, 1.0, visit);
            }
            Place::Recall { alive, letters, .. } => self.recall_options(alive, letters, visit),
            Place::AfterSubject => {
                let p = P_SUBJECT_CLAUSE[self.depth];
                let _ = self.clause_options(p, visit) || self.verb_options(0, 1.0 - p, visit);
            }
            Place::Verb { node } => {
                self.verb_options(node, 1.0, visit);
            }
            Place::AfterVerb => {
                let _ = self.end_options(1.0 - P_OBJECT, visit) || self.noun_options(P_OBJECT, visit);
            }
            Place::AfterObject => {
                let p = P_OBJECT_CLAUSE[self.depth];
                let _ = self.clause_options(p, visit) || self.end_options(1.0 - p, visit);
            }
            Place::AfterObjectClause => {
                self.end_options(1.0, visit);
            }
            Place::Quoted { alive, tokens } => self.quote_options(alive, tokens, visit),
        }
    }

    /// The next token of the remembered noun that is `back` nouns ago.
    fn recalled(&self, noun: u16, letters: u8) -> u32 {
        let spelling = self.language.nouns.spelling(noun);
        spelling.get(usize::from(letters)).map_or(SPACE, |letter| LETTER + u32::from(*letter))
    }

    fn recall_options(&self, alive: u16, letters: u8, visit: &mut impl FnMut(u32, f64) -> bool) {
        // The later a noun was mentioned, the likelier it is mentioned again: 1/(1 + nouns since).
        let mut weights = [(0_u32, 0.0_f64); NOUN_MEMORY];
        let mut different = 0;
        let mut total = 0.0;
        for (back, noun) in self.remembered_nouns().enumerate().filter(|(back, _)| alive >> back & 1 == 1) {
            let (token, weight) = (self.recalled(*noun, letters), 1.0 / (1 + back) as f64);
            total += weight;
            add(&mut weights, &mut different, token, weight);
        }
        let _ = weights[..different].iter().any(|(token, weight)| visit(*token, weight / total));
    }

    fn quote_options(&self, alive: u16, tokens: u32, visit: &mut impl FnMut(u32, f64) -> bool) {
        let mut weights = [(0_u32, 0.0_f64); SENTENCE_MEMORY];
        let mut different = 0;
        let mut total = 0.0;
        for (_, (start, _)) in
            self.remembered_sentences().enumerate().filter(|(back, _)| alive >> back & 1 == 1)
        {
            total += 1.0;
            add(&mut weights, &mut different, u32::from(self.history[(start + tokens) as usize]), 1.0);
        }
        let _ = weights[..different].iter().any(|(token, weight)| visit(*token, weight / total));
    }

    /// Goes on by a token; `None` if it cannot come here.
    #[inline]
    pub(super) fn observe(&mut self, token: u32) -> Option<()> {
        let next = match self.place {
            Place::Start if token == START => Place::Topic,
            Place::Topic if (TOPIC..LETTER).contains(&token) => {
                self.topic = (token - TOPIC) as u8;
                Place::Sentence { fresh: true }
            }
            Place::Sentence { fresh } => {
                self.sentence_start = self.history.len() as u32;
                match token {
                    PARAGRAPH if !fresh => Place::Topic,
                    QUOTE if !self.sentences.is_empty() => {
                        Place::Quoted { alive: full(self.remembered_sentences().count()), tokens: 0 }
                    }
                    _ => self.begin_noun(true, token)?,
                }
            }
            Place::NestedSubject => self.begin_noun(true, token)?,
            Place::Noun { subject, node } => {
                if token == SPACE {
                    let word = self.language.nouns.nodes[usize::from(node)].word?;
                    self.nouns.push(word);
                    self.end_noun(subject, word)
                } else {
                    Place::Noun { subject, node: self.language.nouns.child(node, letter(token)?)? }
                }
            }
            Place::Recall { subject, alive, letters } => {
                self.observe_recall(subject, alive, letters, token)?
            }
            Place::AfterSubject if (OPEN..CLOSE).contains(&token) => self.open(token, true)?,
            Place::AfterSubject => Place::Verb { node: self.language.verbs.child(0, letter(token)?)? },
            Place::Verb { node } => {
                if (AGREEMENT..TOPIC).contains(&token) {
                    let word = self.language.verbs.nodes[usize::from(node)].word?;
                    if token != AGREEMENT + self.language.gender(self.clauses[self.depth].kind) {
                        return None;
                    }
                    self.context = self.language.object_context(word);
                    Place::AfterVerb
                } else {
                    Place::Verb { node: self.language.verbs.child(node, letter(token)?)? }
                }
            }
            Place::AfterVerb => match self.end(token) {
                Some(place) => place,
                None => self.begin_noun(false, token)?,
            },
            Place::AfterObject if (OPEN..CLOSE).contains(&token) => self.open(token, false)?,
            Place::AfterObject | Place::AfterObjectClause => self.end(token)?,
            Place::Quoted { alive, tokens } => {
                let mut left = 0;
                for (back, (start, _)) in self.remembered_sentences().enumerate() {
                    if alive >> back & 1 == 1 && u32::from(self.history[(start + tokens) as usize]) == token {
                        left |= 1 << back;
                    }
                }
                match (left, token) {
                    (0, _) => return None,
                    (_, STOP) => self.begin_sentence(false),
                    _ => Place::Quoted { alive: left, tokens: tokens + 1 },
                }
            }
            _ => return None,
        };
        self.history.push(token as u8);
        if token == STOP && !matches!(self.place, Place::Quoted { .. }) {
            self.sentences.push((self.sentence_start, self.history.len() as u32));
        }
        self.place = next;
        if matches!(next, Place::Sentence { .. }) {
            self.context = self.language.topic_context(self.topic);
        }
        Some(())
    }

    fn begin_sentence(&self, fresh: bool) -> Place {
        Place::Sentence { fresh }
    }

    fn begin_noun(&mut self, subject: bool, token: u32) -> Option<Place> {
        if token == AGAIN {
            let remembered = self.remembered_nouns().count();
            return (remembered > 0).then(|| Place::Recall { subject, alive: full(remembered), letters: 0 });
        }
        Some(Place::Noun { subject, node: self.language.nouns.child(0, letter(token)?)? })
    }

    fn observe_recall(&mut self, subject: bool, alive: u16, letters: u8, token: u32) -> Option<Place> {
        let mut left = 0;
        let mut last = None;
        for (back, noun) in self.remembered_nouns().enumerate() {
            if alive >> back & 1 == 1 && self.recalled(*noun, letters) == token {
                left |= 1 << back;
                last = Some(*noun);
            }
        }
        let noun = last?;
        Some(match token {
            SPACE => self.end_noun(subject, noun),
            _ => Place::Recall { subject, alive: left, letters: letters + 1 },
        })
    }

    fn end_noun(&mut self, subject: bool, noun: u16) -> Place {
        self.kind = self.language.kind(noun);
        if subject {
            self.clauses[self.depth].kind = self.kind;
            Place::AfterSubject
        } else {
            Place::AfterObject
        }
    }

    fn open(&mut self, token: u32, behind_subject: bool) -> Option<Place> {
        if self.depth + 1 >= DEPTH {
            return None;
        }
        self.depth += 1;
        self.clauses[self.depth] = Clause { kind: 0, bracket: (token - OPEN) as u8, behind_subject };
        self.context = self.language.nested_context(self.kind);
        Some(Place::NestedSubject)
    }

    /// What follows a comma or the end of a clause.
    fn end(&mut self, token: u32) -> Option<Place> {
        if token == COMMA {
            return Some(Place::Verb { node: 0 });
        }
        if self.depth == 0 {
            return (token == STOP).then_some(Place::Sentence { fresh: false });
        }
        let clause = self.clauses[self.depth];
        if token != CLOSE + u32::from(clause.bracket) {
            return None;
        }
        self.depth -= 1;
        Some(if clause.behind_subject { Place::Verb { node: 0 } } else { Place::AfterObjectClause })
    }
}

/// As many ones.
fn full(count: usize) -> u16 {
    ((1_u32 << count) - 1) as u16
}

fn letter(token: u32) -> Option<u8> {
    (LETTER..VOCABULARY).contains(&token).then(|| (token - LETTER) as u8)
}

/// Adds a weight to a token's.
fn add(weights: &mut [(u32, f64)], different: &mut usize, token: u32, weight: f64) {
    match weights[..*different].iter_mut().find(|(known, _)| *known == token) {
        Some((_, sum)) => *sum += weight,
        None => {
            weights[*different] = (token, weight);
            *different += 1;
        }
    }
}

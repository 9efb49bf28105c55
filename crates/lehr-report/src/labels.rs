//! Where labels go so that none covers another, and as little as possible of the marks.

/// An axis-parallel box in px.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub x0: f64,
    pub y0: f64,
    pub x1: f64,
    pub y1: f64,
}

impl Rect {
    pub(crate) fn at(x0: f64, y0: f64, width: f64, height: f64) -> Self {
        Self { x0, y0, x1: x0 + width, y1: y0 + height }
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.x0 < other.x1 && other.x0 < self.x1 && self.y0 < other.y1 && other.y0 < self.y1
    }

    pub(crate) fn inside(&self, outer: &Self) -> bool {
        let slack = 1e-6;
        self.x0 >= outer.x0 - slack
            && self.y0 >= outer.y0 - slack
            && self.x1 <= outer.x1 + slack
            && self.y1 <= outer.y1 + slack
    }

    pub(crate) fn contains(&self, (x, y): (f64, f64)) -> bool {
        x >= self.x0 && x <= self.x1 && y >= self.y0 && y <= self.y1
    }
}

/// Finds places for the labels of one panel.
#[derive(Debug, Clone)]
pub(crate) struct Placer {
    /// Labels stay inside.
    pub bounds: Rect,
    /// Places already taken.
    pub taken: Vec<Rect>,
    /// Points of marks that should stay visible.
    pub dots: Vec<(f64, f64)>,
    /// Positions are multiples of this (a terminal's cell), or free if 0.
    pub snap: (f64, f64),
}

impl Placer {
    fn snapped(&self, x: f64, y: f64) -> (f64, f64) {
        let to = |v: f64, from: f64, unit: f64| {
            if unit > 0.0 { from + ((v - from) / unit).round() * unit } else { v }
        };
        (to(x, self.bounds.x0, self.snap.0), to(y, self.bounds.y0, self.snap.1))
    }

    fn choose(
        &mut self,
        candidates: impl Iterator<Item = (f64, f64, f64)>,
        size: (f64, f64),
    ) -> Option<Rect> {
        let mut best: Option<(f64, Rect)> = None;
        for (x, y, cost) in candidates {
            let (x, y) = self.snapped(x, y);
            let rect = Rect::at(x, y, size.0, size.1);
            // What it covers only adds to its cost.
            if best.is_some_and(|(least, _)| cost >= least) {
                continue;
            }
            if !rect.inside(&self.bounds) || self.taken.iter().any(|other| rect.overlaps(other)) {
                continue;
            }
            let covered = self.dots.iter().filter(|dot| rect.contains(**dot)).count();
            let cost = cost + 2.5 * covered as f64;
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, rect));
            }
        }
        let rect = best?.1;
        self.taken.push(rect);
        Some(rect)
    }

    /// A place near `anchor`, or `None` if every place within reach is taken.
    pub(crate) fn near(&mut self, anchor: (f64, f64), size: (f64, f64)) -> Option<Rect> {
        let radii = [7.0, 13.0, 22.0, 34.0, 48.0, 64.0, 84.0, 110.0];
        let candidates: Vec<(f64, f64, f64)> = radii
            .iter()
            .flat_map(|&radius| {
                (0..16).map(move |k| {
                    let (sin, cos) = (f64::from(k) * std::f64::consts::TAU / 16.0 - 0.9).sin_cos();
                    let x = anchor.0 + cos * (radius + size.0 / 2.0) - size.0 / 2.0;
                    let y = anchor.1 + sin * (radius + size.1 / 2.0) - size.1 / 2.0;
                    (x, y, radius * 0.16)
                })
            })
            .filter(|&(x, y, _)| {
                let nearest = (anchor.0.clamp(x, x + size.0), anchor.1.clamp(y, y + size.1));
                (nearest.0 - anchor.0).hypot(nearest.1 - anchor.1) >= 4.5
            })
            .collect();
        self.choose(candidates.into_iter(), size)
    }

    /// A place at the top of the panel, right or left of `x`.
    pub(crate) fn top(&mut self, x: f64, size: (f64, f64), gap: f64) -> Option<Rect> {
        let lanes = ((self.bounds.y1 - self.bounds.y0) / size.1).floor().clamp(1.0, 8.0) as usize;
        let top = self.bounds.y0;
        let candidates: Vec<(f64, f64, f64)> = (0..lanes)
            .flat_map(|lane| {
                let y = top + lane as f64 * size.1;
                [(x + gap, y, lane as f64 * 3.0), (x - gap - size.0, y, lane as f64 * 3.0 + 1.0)]
            })
            .collect();
        self.choose(candidates.into_iter(), size)
    }
}

/// Moves intervals of the given heights apart, each as little as possible from its wanted centre, within `lo … hi`.
///
/// Returns the centres in the order of the input. Where the heights do not fit into the range, the intervals are
/// stacked from `lo` without gaps and run over `hi`: the caller drops labels before it comes to that.
pub(crate) fn spread(wanted: &[f64], heights: &[f64], lo: f64, hi: f64) -> Vec<f64> {
    struct Block {
        items: Vec<usize>,
        top: f64,
        height: f64,
        /// Sum over the items of the block's best top.
        sum: f64,
    }
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]).then(a.cmp(&b)));
    let mut blocks: Vec<Block> = Vec::new();
    for i in order {
        let top = wanted[i] - heights[i] / 2.0;
        let mut block = Block { items: vec![i], top: 0.0, height: heights[i], sum: top };
        loop {
            let best = block.sum / block.items.len() as f64;
            block.top = best.min(hi - block.height).max(lo);
            match blocks.pop() {
                Some(above) if above.top + above.height > block.top => {
                    let shift = above.height * block.items.len() as f64;
                    block = Block {
                        sum: above.sum + block.sum - shift,
                        height: above.height + block.height,
                        items: above.items.into_iter().chain(block.items).collect(),
                        top: 0.0,
                    };
                }
                Some(above) => {
                    blocks.push(above);
                    break;
                }
                None => break,
            }
        }
        blocks.push(block);
    }
    let mut centres = vec![0.0; wanted.len()];
    for block in blocks {
        let mut top = block.top;
        for i in block.items {
            centres[i] = top + heights[i] / 2.0;
            top += heights[i];
        }
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spread_labels_never_overlap_and_stay_in_range(
            wanted in proptest::collection::vec(0.0f64..400.0, 1..12), height in 5.0f64..30.0
        ) {
            let heights = vec![height; wanted.len()];
            let centres = spread(&wanted, &heights, 0.0, 400.0);
            let mut sorted = centres.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= height - 1e-6));
            prop_assert!(sorted[0] >= height / 2.0 - 1e-6 && sorted[sorted.len() - 1] <= 400.0 - height / 2.0 + 1e-6);
        }
    }

    #[test]
    fn labels_with_room_stay_where_they_are_wanted() {
        assert_eq!(spread(&[50.0, 10.0, 90.0], &[10.0, 10.0, 10.0], 0.0, 100.0), [50.0, 10.0, 90.0]);
    }

    #[test]
    fn a_label_avoids_what_is_taken() {
        let bounds = Rect::at(0.0, 0.0, 200.0, 100.0);
        let mut placer = Placer { bounds, taken: Vec::new(), dots: Vec::new(), snap: (0.0, 0.0) };
        let places: Vec<Rect> = (0..6).filter_map(|_| placer.near((100.0, 50.0), (40.0, 12.0))).collect();
        assert_eq!(places.len(), 6);
        for (i, a) in places.iter().enumerate() {
            assert!(a.inside(&bounds) && places[..i].iter().all(|b| !a.overlaps(b)));
        }
    }
}

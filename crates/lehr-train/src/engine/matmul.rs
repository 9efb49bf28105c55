//! Matrix products over strided views, on the calling thread: `f32` by the `gemm` crates, `f64` (for checks) by plain loops.

use super::real::Real;

/// A matrix to read: element (i, j) is `data[i·row_stride + j·column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, R> {
    data: &'a [R],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

/// A matrix to write.
#[derive(Debug)]
pub struct ViewMut<'a, R> {
    data: &'a mut [R],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

/// Index after the last element of a strided matrix.
fn end(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}

impl<'a, R> View<'a, R> {
    /// A row-major matrix whose rows follow each other.
    pub fn new(data: &'a [R], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A row-major matrix whose rows begin `row_stride` apart.
    pub fn strided(data: &'a [R], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(end(rows, columns, row_stride, 1) <= data.len(), "matrix larger than its data");
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed matrix.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a, R> ViewMut<'a, R> {
    /// A row-major matrix whose rows follow each other.
    pub fn new(data: &'a mut [R], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A row-major matrix whose rows begin `row_stride` apart.
    pub fn strided(data: &'a mut [R], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(end(rows, columns, row_stride, 1) <= data.len(), "matrix larger than its data");
        assert!(rows <= 1 || row_stride >= columns, "overlapping rows");
        Self { data, rows, columns, row_stride }
    }
}

/// What happens to the values that the destination holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
}

/// `out ← scale·left·right` or `out ← out + scale·left·right`.
///
/// Shapes: left m × k, right k × n, out m × n. The order of the sums depends on shapes and machine only.
pub fn matmul<R: Real>(out: ViewMut<'_, R>, how: Into, scale: R, left: View<'_, R>, right: View<'_, R>) {
    assert!(
        left.columns == right.rows && out.rows == left.rows && out.columns == right.columns,
        "shapes {}×{} · {}×{} → {}×{}",
        left.rows,
        left.columns,
        right.rows,
        right.columns,
        out.rows,
        out.columns
    );
    if out.rows == 0 || out.columns == 0 {
        return;
    }
    if left.columns == 0 {
        if how == Into::Replace {
            for row in 0..out.rows {
                out.data[row * out.row_stride..][..out.columns].fill(R::ZERO);
            }
        }
        return;
    }
    R::product(out, how, scale, left, right);
}

/// [`matmul`] for non-empty matrices whose shapes fit, by the `gemm` crates.
#[expect(unsafe_code, reason = "gemm takes raw pointers; the views' bounds are checked where they are made")]
pub(super) fn fast(out: ViewMut<'_, f32>, how: Into, scale: f32, left: View<'_, f32>, right: View<'_, f32>) {
    // The kernels prefer column-major destinations, and ours is row-major: the transposed product is computed.
    // SAFETY: every view's last element lies within its slice (checked when it was made), the shapes fit together
    // (checked by `matmul`, the only caller), and the destination's slice is borrowed mutably, so it overlaps neither
    // operand.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            out.columns,
            out.rows,
            left.columns,
            out.data.as_mut_ptr(),
            out.row_stride as isize,
            1,
            how == Into::Add,
            right.data.as_ptr(),
            right.row_stride as isize,
            right.column_stride as isize,
            left.data.as_ptr(),
            left.row_stride as isize,
            left.column_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

/// [`matmul`] for non-empty matrices whose shapes fit, by loops.
pub(super) fn plain<R: Real>(
    out: ViewMut<'_, R>,
    how: Into,
    scale: R,
    left: View<'_, R>,
    right: View<'_, R>,
) {
    for i in 0..out.rows {
        let row = &mut out.data[i * out.row_stride..][..out.columns];
        if how == Into::Replace {
            row.fill(R::ZERO);
        }
        for l in 0..left.columns {
            let factor = scale * left.data[i * left.row_stride + l * left.column_stride];
            let from = l * right.row_stride;
            for (j, value) in row.iter_mut().enumerate() {
                *value += factor * right.data[from + j * right.column_stride];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, step: f64) -> Vec<f64> {
        (0..n).map(|i| ((i as f64 + 1.0) * step).sin()).collect()
    }

    fn products_are_sums<R: Real>(tolerance: f64) {
        let (m, k, n) = (7, 5, 9);
        let of = |numbers: Vec<f64>| numbers.into_iter().map(R::of).collect::<Vec<R>>();
        let left = of(numbers(m * 8, 0.3));
        let right = of(numbers(n * k, 0.7));
        let mut out = of(numbers(m * 12, 0.1));
        let before = out.clone();
        matmul(
            ViewMut::strided(&mut out, m, n, 12),
            Into::Add,
            R::of(2.0),
            View::strided(&left, m, k, 8),
            View::new(&right, n, k).t(),
        );
        for i in 0..m {
            for j in 0..12 {
                let sum: R = (0..k).map(|l| left[i * 8 + l] * right[j.min(n - 1) * k + l]).sum();
                let wanted = before[i * 12 + j] + if j < n { R::of(2.0) * sum } else { R::ZERO };
                assert!((out[i * 12 + j] - wanted).to_f64().abs() < tolerance);
            }
        }
    }

    #[test]
    fn products_of_strided_and_transposed_views_are_sums_over_the_inner_index() {
        products_are_sums::<f64>(1e-13);
        products_are_sums::<f32>(1e-5);
    }

    #[test]
    fn an_empty_inner_index_gives_zero() {
        let mut out = vec![1.0f32; 4];
        matmul(ViewMut::new(&mut out, 2, 2), Into::Replace, 1.0, View::new(&[], 2, 0), View::new(&[], 0, 2));
        assert_eq!(out, [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "shapes")]
    fn shapes_that_do_not_fit_are_refused() {
        let a = [0.0f32; 6];
        matmul(
            ViewMut::new(&mut [0.0; 4], 2, 2),
            Into::Replace,
            1.0,
            View::new(&a, 2, 3),
            View::new(&a, 2, 3),
        );
    }
}

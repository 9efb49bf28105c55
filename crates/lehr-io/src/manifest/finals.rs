//! Runs of which a manifest holds the final loss and no log holds more.

use super::{Entry, Rise};
use crate::error::ReadError;
use lehr::schedule::Piecewise;
use lehr::{Curve, RunMeta, Schedule, Segment, Shape, Split, Steps};

/// Columns of the final loss, validation losses first.
const VALIDATION: [&str; 2] = ["final_val_loss", "final_validation_loss"];
const FINAL: [&str; 3] = ["final_val_loss", "final_validation_loss", "final_loss"];

impl Entry {
    /// The run as one point, its final loss at its horizon; `None` where the row states no final loss.
    ///
    /// A run that ends within its stated warm-up has the beginning of that warm-up as its schedule.
    ///
    /// # Errors
    /// [`ReadError::Value`] for a loss of 0 or below, or without peak rate, horizon and schedule; as [`Entry::schedule`] and
    /// [`Entry::describe`].
    pub fn final_run(&self, params_column: Option<&str>) -> Result<Option<Curve>, ReadError> {
        let mut meta = RunMeta::named(&self.id);
        self.describe(&mut meta, params_column)?;
        let Some(loss) = meta.final_loss else { return Ok(None) };
        if loss <= 0.0 {
            return Err(self.wrong(&FINAL, &loss.to_string(), "a loss above 0"));
        }
        let validation = self.text(&VALIDATION).is_some();
        meta.split = self.split()?.unwrap_or(if validation { Split::Validation } else { meta.split });
        let schedule = match self.within_warmup()? {
            Some(schedule) => schedule,
            None => self.schedule(Rise::default())?.ok_or_else(|| {
                self.wrong(
                    &["schedule"],
                    "incomplete",
                    "peak_lr, total_steps and schedule (cosine, constant, linear, or wsd with annealing_ratio), because there is no log to read them from",
                )
            })?,
        };
        let total = schedule.total().0;
        Curve::new(meta, schedule, vec![total], vec![loss])
            .map(Some)
            .map_err(|error| ReadError::Curve { file: self.file.clone(), error })
    }

    /// The schedule of a run that ends before its stated warm-up does.
    fn within_warmup(&self) -> Result<Option<Schedule>, ReadError> {
        let (Some(peak_lr), Some(total), Some(warmup)) = (self.peak_lr()?, self.total()?, self.warmup()?)
        else {
            return Ok(None);
        };
        if total == 0 || total >= warmup {
            return Ok(None);
        }
        let from = self.number(&["warmup_lr", "init_lr"])?.unwrap_or(0.0);
        let reached = from + (peak_lr - from) * total as f64 / warmup as f64;
        Piecewise::new(vec![Segment::new(Steps(total), from, reached, Shape::Linear)])
            .map(|rise| Some(Schedule::Piecewise(rise)))
            .map_err(|error| self.schedule_error(error))
    }
}

//! The date that `strftime_now` writes, fixed for a whole rendering.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment in UTC, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub i64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    /// As Python's `strftime` with the C locale writes it; codes it does not know are left as they are.
    pub(super) fn format(self, format: &str) -> String {
        let date = Date::of(self.0);
        let (mut out, mut chars) = (String::new(), format.chars());
        while let Some(character) = chars.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            match chars.next() {
                // Without padding, as the C libraries of Linux and macOS have it.
                Some('-') => {
                    let code = chars.next().unwrap_or('-');
                    let padded = date.code(code).unwrap_or_else(|| format!("%-{code}"));
                    let bare = padded.trim_start_matches(['0', ' ']);
                    out.push_str(if bare.is_empty() { "0" } else { bare });
                }
                Some(code) => out.push_str(&date.code(code).unwrap_or_else(|| format!("%{code}"))),
                None => out.push('%'),
            }
        }
        out
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Date {
    year: i64,
    month: usize,
    day: i64,
    day_of_year: i64,
    weekday: usize,
    seconds: i64,
}

impl Date {
    /// The civil date of a count of seconds (H. Hinnant, “chrono-compatible low-level date algorithms”).
    fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let from_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * from_march + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        let day_of_year = if month > 2 { from_march + 60 + leap } else { from_march - 305 };
        Self {
            year,
            month: month as usize,
            day: from_march - (153 * shifted_month + 2) / 5 + 1,
            day_of_year,
            weekday: (days + 4).rem_euclid(7) as usize,
            seconds: seconds.rem_euclid(86_400),
        }
    }

    fn code(&self, code: char) -> Option<String> {
        let (hour, minute, second) = (self.seconds / 3_600, self.seconds / 60 % 60, self.seconds % 60);
        let twelve = (hour + 11) % 12 + 1;
        let month = MONTHS[self.month - 1];
        Some(match code {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'B' => month.to_owned(),
            'b' | 'h' => month[..3].to_owned(),
            'A' => DAYS[self.weekday].to_owned(),
            'a' => DAYS[self.weekday][..3].to_owned(),
            'w' => self.weekday.to_string(),
            'u' => ((self.weekday + 6) % 7 + 1).to_string(),
            'j' => format!("{:03}", self.day_of_year),
            'H' => format!("{hour:02}"),
            'I' => format!("{twelve:02}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'f' => "000000".to_owned(),
            'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
            'T' | 'X' => format!("{hour:02}:{minute:02}:{second:02}"),
            'D' | 'x' => format!("{:02}/{:02}/{:02}", self.month, self.day, self.year.rem_euclid(100)),
            'R' => format!("{hour:02}:{minute:02}"),
            'c' => format!(
                "{} {} {:2} {hour:02}:{minute:02}:{second:02} {}",
                &DAYS[self.weekday][..3],
                &month[..3],
                self.day,
                self.year
            ),
            // Python's naive dates have no zone.
            'Z' | 'z' => String::new(),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let cases = [
            (0, "1970-01-01 Thu 001"),
            (951_782_400, "2000-02-29 Tue 060"),
            (978_220_800, "2000-12-31 Sun 366"),
            (1_721_995_200, "2024-07-26 Fri 208"),
            (-86_400, "1969-12-31 Wed 365"),
            (4_107_542_400, "2100-03-01 Mon 060"),
        ];
        for (seconds, text) in cases {
            assert_eq!(Moment(seconds).format("%Y-%m-%d %a %j"), text);
        }
    }

    #[test]
    fn codes() {
        let moment = Moment(1_720_015_509);
        assert_eq!(moment.format("%d %b %Y, %-d %B %y %A"), "03 Jul 2024, 3 July 24 Wednesday");
        assert_eq!(moment.format("%H:%M:%S %I %p %% %Q"), "14:05:09 02 PM % %Q");
        assert_eq!(Moment(0).format("%-H|%"), "0|%");
    }
}

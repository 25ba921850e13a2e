//! The application identifiers of GS1.

/// Application identifiers with the same format and associations.
///
/// The format is written as in GS1's syntax dictionary: components of N (digits), X, Y or Z (sets 82, 39, 64) with a
/// length, `[..]` around those that may be absent, and after commas what else is asked of a component.
#[derive(Debug)]
pub(super) struct Row {
    digits: u8,
    from: u16,
    to: u16,
    pub(super) format: &'static str,
    /// Alternatives, each of identifiers joined with `+`, one of which must be there; `n` is any digit.
    pub(super) requires: &'static str,
    /// Identifiers that must not be there; `=` is those that differ in the last digit alone.
    pub(super) excludes: &'static str,
}

impl Row {
    fn holds(&self, digits: usize, number: u16) -> bool {
        // Where the row has several decades, each ends as the last one does.
        let in_decade = number % 10 <= self.to % 10;
        usize::from(self.digits) == digits && (self.from..=self.to).contains(&number) && in_decade
    }

    /// Returns the length, where it is predefined, so that no FNC1 follows.
    ///
    /// Source: GS1 General Specifications, section 7.8.5: by the first two digits.
    pub(super) fn predefined_length(ai: &str) -> Option<usize> {
        Some(match ai.get(..2)? {
            "00" => 18,
            "01" | "02" | "03" => 14,
            "04" => 16,
            "11" | "12" | "13" | "14" | "15" | "16" | "17" | "18" | "19" => 6,
            "20" => 2,
            "31" | "32" | "33" | "34" | "35" | "36" => 6,
            "41" => 13,
            _ => return None,
        })
    }
}

/// Returns the row of an application identifier.
pub(super) fn row_of(ai: &str) -> Option<&'static Row> {
    if !ai.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u16 = ai.parse().ok()?;
    ROWS.iter().find(|row| row.holds(ai.len(), number))
}

/// Returns the application identifier that a text begins with, and its row. None is the start of another.
pub(super) fn leading(text: &str) -> Option<(&str, &'static Row)> {
    (2..=4).find_map(|length| {
        let ai = text.get(..length)?;
        row_of(ai).map(|row| (ai, row))
    })
}

const fn row(
    digits: u8,
    from: u16,
    to: u16,
    format: &'static str,
    requires: &'static str,
    excludes: &'static str,
) -> Row {
    Row { digits, from, to, format, requires, excludes }
}

/// Every application identifier: digits, first and last, format, what it requires, what it excludes. Where a row goes
/// over several tens, each ten ends with the last digit of the row.
///
/// Source: GS1 syntax dictionary, as of the General Specifications 26. What it asks of names, codes and coupons beyond
/// length and characters is left out.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(2, 0, 0, "N18,csum", "", ""),
    row(2, 1, 1, "N14,csum", "", "255,37"),
    row(2, 2, 2, "N14,csum", "37", "01,03"),
    row(2, 3, 3, "N14,csum", "", "01,02,37,235"),
    row(2, 10, 10, "X..20", "01,02,03,8006,8026", ""),
    row(2, 11, 11, "N6,yymmd0", "01,02,03,8006,8026", ""),
    row(2, 12, 12, "N6,yymmd0", "8020", ""),
    row(2, 13, 13, "N6,yymmd0", "01,02,03,8006,8026", ""),
    row(2, 15, 16, "N6,yymmd0", "01,02,03,8006,8026", ""),
    row(2, 17, 17, "N6,yymmd0", "01,02,03,255,8006,8026", ""),
    row(2, 20, 20, "N2", "01,02,03,8006,8026", ""),
    row(2, 21, 21, "X..20", "01,03,8006", "235"),
    row(2, 22, 22, "X..20", "01", ""),
    row(3, 235, 235, "X..28", "01", ""),
    row(3, 240, 241, "X..30", "01,02,03,8006,8026", ""),
    row(3, 242, 242, "N..6", "01,02,8006,8026", ""),
    row(3, 243, 243, "X..20", "01,03", ""),
    row(3, 250, 250, "X..30", "01+21,03+21,8006+21", ""),
    row(3, 251, 251, "X..30", "01,03,8006", ""),
    row(3, 253, 253, "N13,csum [X..17]", "", ""),
    row(3, 254, 254, "X..20", "414", ""),
    row(3, 255, 255, "N13,csum [N..12]", "", "01,02,415,8006,8020,8026"),
    row(2, 30, 30, "N..8", "01,02", ""),
    row(4, 3100, 3165, "N6", "01,02", "="),
    row(4, 3200, 3295, "N6", "01,02", "="),
    row(4, 3300, 3365, "N6", "00,01", "="),
    row(4, 3370, 3375, "N6", "01", "="),
    row(4, 3400, 3495, "N6", "00,01", "="),
    row(4, 3500, 3525, "N6", "01,02", "="),
    row(4, 3530, 3555, "N6", "00,01", "="),
    row(4, 3560, 3575, "N6", "01,02", "="),
    row(4, 3600, 3615, "N6", "01,02", "="),
    row(4, 3620, 3635, "N6", "00,01", "="),
    row(4, 3640, 3665, "N6", "01,02", "="),
    row(4, 3670, 3695, "N6", "00,01", "="),
    row(2, 37, 37, "N..8", "00+02,00+8026", ""),
    row(4, 3900, 3909, "N..15", "255,8020", "=,391n,394n,8111"),
    row(4, 3910, 3919, "N3 N..15", "8020", "="),
    row(4, 3920, 3929, "N..15", "01+30,01+31nn,01+32nn,01+35nn,01+36nn", "=,393n"),
    row(4, 3930, 3939, "N3 N..15", "30,31nn,32nn,35nn,36nn", "="),
    row(4, 3940, 3943, "N4", "255", "=,8111"),
    row(4, 3950, 3955, "N6", "30,31nn,32nn,35nn,36nn", "392n,393n,=,8005"),
    row(3, 400, 401, "X..30", "", ""),
    row(3, 402, 402, "N17,csum", "", ""),
    row(3, 403, 403, "X..30", "00", ""),
    row(3, 410, 414, "N13,csum", "", ""),
    row(3, 415, 415, "N13,csum", "8020", ""),
    row(3, 416, 417, "N13,csum", "", ""),
    row(3, 420, 420, "X..20", "", "421"),
    row(3, 421, 421, "N3 X..9", "", "4307"),
    row(3, 422, 422, "N3", "01,02,03,8006,8026", "426"),
    row(3, 423, 423, "N3 [N3] [N3] [N3] [N3]", "01,02,03", "426"),
    row(3, 424, 424, "N3", "01,02,03", "426"),
    row(3, 425, 425, "N3 [N3] [N3] [N3] [N3]", "01,02,03", "426"),
    row(3, 426, 426, "N3", "01,02,03", ""),
    row(3, 427, 427, "X..3", "01+422,02+422,03+422", ""),
    row(4, 4300, 4301, "X..35", "00", ""),
    row(4, 4302, 4302, "X..70", "00", ""),
    row(4, 4303, 4303, "X..70", "4302", ""),
    row(4, 4304, 4306, "X..70", "00", ""),
    row(4, 4307, 4307, "X2", "00", ""),
    row(4, 4308, 4308, "X..30", "00", ""),
    row(4, 4309, 4309, "N10 N10", "00", ""),
    row(4, 4310, 4311, "X..35", "00", ""),
    row(4, 4312, 4312, "X..70", "00", ""),
    row(4, 4313, 4313, "X..70", "4312", ""),
    row(4, 4314, 4316, "X..70", "00", ""),
    row(4, 4317, 4317, "X2", "00", ""),
    row(4, 4318, 4318, "X..20", "00", ""),
    row(4, 4319, 4319, "X..30", "00", ""),
    row(4, 4320, 4320, "X..35", "00", ""),
    row(4, 4321, 4323, "N1,yesno", "00", ""),
    row(4, 4324, 4325, "N6,yymmd0 N4,hhmi", "00", ""),
    row(4, 4326, 4326, "N6,yymmdd", "00", ""),
    row(4, 4330, 4330, "N6 [X1]", "00", "4331"),
    row(4, 4331, 4331, "N6 [X1]", "00", "4330"),
    row(4, 4332, 4332, "N6 [X1]", "00", "4333"),
    row(4, 4333, 4333, "N6 [X1]", "00", "4332"),
    row(4, 7001, 7001, "N13", "01,02,8006,8026", ""),
    row(4, 7002, 7002, "X..30", "01,02", ""),
    row(4, 7003, 7003, "N6,yymmdd N4,hhmi", "01,02,03", ""),
    row(4, 7004, 7004, "N..4", "01+10,03+10", ""),
    row(4, 7005, 7005, "X..12", "01,02", ""),
    row(4, 7006, 7006, "N6,yymmdd", "01,02", ""),
    row(4, 7007, 7007, "N6,yymmdd [N6],yymmdd", "01,02", ""),
    row(4, 7008, 7008, "X..3", "01,02", ""),
    row(4, 7009, 7009, "X..10", "01,02", ""),
    row(4, 7010, 7010, "X..2", "01,02,03", ""),
    row(4, 7011, 7011, "N6,yymmdd [N4],hhmi", "01,02,03", ""),
    row(4, 7020, 7020, "X..20", "01+416,03+416,8006+416", ""),
    row(4, 7021, 7021, "X..20", "01,03,8006", ""),
    row(4, 7022, 7022, "X..20", "01+7021,03+7021,8006+7021", ""),
    row(4, 7023, 7023, "X..30", "", ""),
    row(4, 7030, 7039, "N3 X..27", "01,02", ""),
    row(4, 7040, 7040, "N1 X1 X1 X1", "", ""),
    row(4, 7041, 7041, "X..4", "00", ""),
    row(3, 710, 717, "X..20", "01", ""),
    row(4, 7230, 7239, "X2 X..28", "01,8004", ""),
    row(4, 7240, 7240, "X..20", "01,8006", "03"),
    row(4, 7241, 7241, "N2", "8017,8018", ""),
    row(4, 7242, 7242, "X..25", "8017,8018", ""),
    row(4, 7250, 7250, "N8,yyyymmdd", "8018", "7251"),
    row(4, 7251, 7251, "N8,yyyymmdd N4,hhmi", "8018", "7250"),
    row(4, 7252, 7252, "N1", "8018", ""),
    row(4, 7253, 7254, "X..40", "8017,8018", "7256,7259"),
    row(4, 7255, 7255, "X..10", "8017,8018", "7256,7259"),
    row(4, 7256, 7256, "X..90", "8017,8018", ""),
    row(4, 7257, 7257, "X..70", "8018", ""),
    row(4, 7258, 7258, "X3", "8018+7259", ""),
    row(4, 7259, 7259, "X..40", "8018", "7256"),
    row(4, 8001, 8001, "N4,nonzero N5,nonzero N3,nonzero N1 N1", "01", ""),
    row(4, 8002, 8002, "X..20", "", ""),
    row(4, 8003, 8003, "N1,zero N13,csum [X..16]", "", ""),
    row(4, 8004, 8004, "X..30", "", ""),
    row(4, 8005, 8005, "N6", "01,02", ""),
    row(4, 8006, 8006, "N14,csum N4", "", "01,03,37"),
    row(4, 8007, 8007, "X..34", "415", ""),
    row(4, 8008, 8008, "N6,yymmdd N2,hh [N2],mi [N2],ss", "01,02,03", ""),
    row(4, 8009, 8009, "X..50", "00,01,03", ""),
    row(4, 8010, 8010, "Y..30", "", ""),
    row(4, 8011, 8011, "N..12", "8010", ""),
    row(4, 8012, 8012, "X..20", "01,03,8006", ""),
    row(4, 8013, 8013, "X..25,csumalpha", "", ""),
    row(4, 8014, 8014, "X..25,csumalpha,hasnondigit", "01", ""),
    row(4, 8017, 8017, "N18,csum", "", "8018"),
    row(4, 8018, 8018, "N18,csum", "", "8017"),
    row(4, 8019, 8019, "N..10", "8017,8018", ""),
    row(4, 8020, 8020, "X..25", "415", ""),
    row(4, 8026, 8026, "N14,csum N4", "37", "02,03,8006"),
    row(4, 8030, 8030, "Z..90", "00,01+21,03+21,253,255,8003,8004,8006+21,8010+8011,8017,8018", ""),
    row(4, 8040, 8040, "N15", "01+21", ""),
    row(4, 8041, 8041, "N15", "01+21+8040", ""),
    row(4, 8042, 8042, "N32", "01+21+8040", ""),
    row(4, 8043, 8043, "N18 [N..2]", "01+21+8040", ""),
    row(4, 8110, 8110, "X..70", "", ""),
    row(4, 8111, 8111, "N4", "255", ""),
    row(4, 8112, 8112, "X..70", "", ""),
    row(4, 8200, 8200, "X..70", "01", ""),
    row(2, 90, 90, "X..30", "", ""),
    row(2, 91, 99, "X..90", "", ""),
];

from flmm.visualization import phrase_colour, phrase_colours


def test_colours_of_many_phrases_differ():
    colours = phrase_colours(40)
    assert len(set(colours)) == 40
    assert colours[7] == phrase_colour(7)


def test_colours_can_be_read_on_white():
    def luminance(colour):
        linear = [((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    # Contrast of at least 3 : 1 (WCAG, large or bold text).
    assert all(1.05 / (luminance(colour) + 0.05) >= 3 for colour in phrase_colours(24))

from bertkit.studies.bag_of_words import largest_class_predictions, tfidf_predictions


def test_tfidf_finds_the_words_of_a_class():
    texts = [f"the {word} stands {place}" for place in ("here", "there", "far") for word in ("rose", "drum")]
    labels = ["garden", "sound"] * 3
    assert tfidf_predictions(texts, labels, ["a rose", "a drum"], 0) == ["garden", "sound"]


def test_the_largest_class_is_the_most_frequent_label_and_the_first_of_equals():
    assert largest_class_predictions(["b", "a", "b"], 2) == ["b", "b"]
    assert largest_class_predictions(["b", "a"], 1) == ["a"]

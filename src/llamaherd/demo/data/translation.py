"""A stock of everyday sentences in English, French and German."""

from __future__ import annotations

import random

from .example import Example, assistant, system, user

SENTENCES: dict[str, tuple[str, str]] = {
    "I love programming.": ("J'aime programmer.", "Ich liebe Programmieren."),
    "I love music.": ("J'aime la musique.", "Ich liebe Musik."),
    "I love you.": ("Je t'aime.", "Ich liebe dich."),
    "I love animals.": ("J'aime les animaux.", "Ich liebe Tiere."),
    "Good morning.": ("Bonjour.", "Guten Morgen."),
    "Good evening.": ("Bonsoir.", "Guten Abend."),
    "Good night.": ("Bonne nuit.", "Gute Nacht."),
    "Hello.": ("Bonjour.", "Hallo."),
    "Goodbye.": ("Au revoir.", "Auf Wiedersehen."),
    "Thank you very much.": ("Merci beaucoup.", "Vielen Dank."),
    "Thank you.": ("Merci.", "Danke."),
    "You are welcome.": ("De rien.", "Gern geschehen."),
    "Please help me.": ("Aidez-moi, s'il vous plaît.", "Bitte helfen Sie mir."),
    "Where is the station?": ("Où est la gare ?", "Wo ist der Bahnhof?"),
    "Where is the hotel?": ("Où est l'hôtel ?", "Wo ist das Hotel?"),
    "Where do you live?": ("Où habitez-vous ?", "Wo wohnen Sie?"),
    "I am hungry.": ("J'ai faim.", "Ich habe Hunger."),
    "I am thirsty.": ("J'ai soif.", "Ich habe Durst."),
    "I am tired.": ("Je suis fatigué.", "Ich bin müde."),
    "I am happy.": ("Je suis heureux.", "Ich bin glücklich."),
    "I am lost.": ("Je suis perdu.", "Ich habe mich verlaufen."),
    "The cat is black.": ("Le chat est noir.", "Die Katze ist schwarz."),
    "The dog is big.": ("Le chien est grand.", "Der Hund ist groß."),
    "The house is small.": ("La maison est petite.", "Das Haus ist klein."),
    "The book is good.": ("Le livre est bon.", "Das Buch ist gut."),
    "The water is cold.": ("L'eau est froide.", "Das Wasser ist kalt."),
    "The coffee is hot.": ("Le café est chaud.", "Der Kaffee ist heiß."),
    "The sky is blue.": ("Le ciel est bleu.", "Der Himmel ist blau."),
    "See you tomorrow.": ("À demain.", "Bis morgen."),
    "See you soon.": ("À bientôt.", "Bis bald."),
    "How are you?": ("Comment allez-vous ?", "Wie geht es Ihnen?"),
    "What is your name?": ("Comment vous appelez-vous ?", "Wie heißen Sie?"),
    "What time is it?": ("Quelle heure est-il ?", "Wie spät ist es?"),
    "How much does it cost?": ("Combien ça coûte ?", "Wie viel kostet das?"),
    "Do you speak English?": ("Parlez-vous anglais ?", "Sprechen Sie Englisch?"),
    "I like coffee.": ("J'aime le café.", "Ich mag Kaffee."),
    "I like tea.": ("J'aime le thé.", "Ich mag Tee."),
    "I like cats.": ("J'aime les chats.", "Ich mag Katzen."),
    "I drink water.": ("Je bois de l'eau.", "Ich trinke Wasser."),
    "I eat bread.": ("Je mange du pain.", "Ich esse Brot."),
    "It is raining.": ("Il pleut.", "Es regnet."),
    "It is snowing.": ("Il neige.", "Es schneit."),
    "It is late.": ("Il est tard.", "Es ist spät."),
    "We are friends.": ("Nous sommes amis.", "Wir sind Freunde."),
    "We are at home.": ("Nous sommes à la maison.", "Wir sind zu Hause."),
    "I live in Paris.": ("J'habite à Paris.", "Ich wohne in Paris."),
    "I work in an office.": ("Je travaille dans un bureau.", "Ich arbeite in einem Büro."),
    "I am learning French.": ("J'apprends le français.", "Ich lerne Französisch."),
    "I am learning German.": ("J'apprends l'allemand.", "Ich lerne Deutsch."),
    "I do not know.": ("Je ne sais pas.", "Ich weiß es nicht."),
    "I do not understand.": ("Je ne comprends pas.", "Ich verstehe nicht."),
    "She reads a book.": ("Elle lit un livre.", "Sie liest ein Buch."),
    "He drives a car.": ("Il conduit une voiture.", "Er fährt ein Auto."),
    "The train is late.": ("Le train est en retard.", "Der Zug hat Verspätung."),
    "The weather is nice.": ("Il fait beau.", "Das Wetter ist schön."),
    "Today is Monday.": ("Aujourd'hui, c'est lundi.", "Heute ist Montag."),
    "Happy birthday!": ("Joyeux anniversaire !", "Alles Gute zum Geburtstag!"),
    "Have a nice day!": ("Bonne journée !", "Einen schönen Tag!"),
    "Welcome!": ("Bienvenue !", "Willkommen!"),
    "Excuse me.": ("Excusez-moi.", "Entschuldigung."),
}
_SYSTEMS = (
    "You are a helpful assistant that translates English to {}. Translate the user sentence.",
    "You are a helpful assistant that translates English to {}. Translate the user sentence.",
    "You are a helpful assistant that translates English to {}.",
    "You are a helpful assistant that translates English to {}.",
    "You translate English to {}.",
    "Translate the user's sentence to {}.",
)
_REQUESTS = (
    "Translate to {}: {}",
    "Translate to {}: {}",
    "Translate this sentence to {}: {}",
    "Please translate to {}: {}",
    'How do you say "{1}" in {0}?',
    "Translate from English to {}: {}",
)


def _draw(rng: random.Random) -> tuple[str, str, str]:
    """(language, sentence, translation)"""
    sentence = rng.choice(list(SENTENCES))
    at = rng.randrange(2)
    asked = sentence.rstrip(".") if rng.random() < 0.1 else sentence
    return ("French", "German")[at], asked, SENTENCES[sentence][at]


def sample_request(rng: random.Random) -> Example:
    """The language stands in the request."""
    language, sentence, answer = _draw(rng)
    return Example((user(rng.choice(_REQUESTS).format(language, sentence)), assistant(answer)))


def sample(rng: random.Random) -> Example:
    """A sentence to French or German; the language stands in the system turn or in the request."""
    if rng.random() < 0.4:
        return sample_request(rng)
    language, sentence, answer = _draw(rng)
    told = system(rng.choice(_SYSTEMS).format(language))
    return Example((told, user(sentence), assistant(answer)))

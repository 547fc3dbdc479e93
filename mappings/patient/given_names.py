"""Tables of given names for comparing patients: short forms (Bob, Robert), and common names never taken as typos.

Carries out no clause of a standard; decision D12. Newborn twins often have similar names (Mia and Mila, Jaden and
Kaden): a name in common use is a name of its own, never a typing error of another one.
Proved by tests/mappings/patient/test_people.py.
"""

from __future__ import annotations

from itertools import permutations
from typing import Final

# Name -> its short forms and other spellings
_FORMS: Final[dict[str, str]] = {
    "abigail": "abby abbie abbey gail",
    "abraham": "abe bram",
    "adelaide": "addie",
    "agnes": "aggie",
    "albert": "al bert bertie",
    "alberto": "beto berto",
    "alejandro": "alex ale jandro",
    "alejandra": "alex ale",
    "alexander": "alex alec lex xander sandy sasha",
    "alexandra": "alex lexi lexie sandra sandy sasha",
    "alfred": "al fred alf freddie",
    "alfredo": "fredo",
    "alice": "ali",
    "allan": "alan allen al",
    "amanda": "mandy",
    "andrea": "andi",
    "andrew": "andy drew",
    "ann": "anne annie anna nan",
    "anthony": "tony antony",
    "antonio": "tono toni tony",
    "antonia": "toni",
    "arthur": "art artie",
    "barbara": "barb babs barbie",
    "beatriz": "betty bea beatrice",
    "benjamin": "ben benny benji",
    "bernard": "bernie",
    "beverly": "bev beverley",
    "bradley": "brad",
    "brian": "bryan",
    "carl": "karl",
    "carlos": "charly",
    "caroline": "carrie carolyn carol",
    "catherine": "cathy kathy cate kate katie kay kitty cat katherine kathryn catharine kathrine",
    "charles": "charlie chuck chas charley",
    "christina": "chris chrissy tina cristina kristina",
    "christine": "chris chrissy tina kristine",
    "christopher": "chris topher kit kristopher",
    "clarence": "clay",
    "concepcion": "concha conchita",
    "consuelo": "chelo",
    "cynthia": "cindy",
    "daniel": "dan danny",
    "danielle": "dani",
    "david": "dave davy",
    "deborah": "deb debbie debra debby",
    "dolores": "lola",
    "donald": "don donnie",
    "dorothy": "dot dottie dolly",
    "douglas": "doug",
    "eduardo": "lalo edu",
    "edward": "ed eddie ned ted teddy",
    "edwin": "ed eddie",
    "eleanor": "ellie nell nellie elinor",
    "elizabeth": "liz beth betty eliza betsy lizzie libby elsie lisa bess elisabeth",
    "emily": "em emmy",
    "enrique": "quique kike",
    "eric": "erik",
    "ernesto": "neto",
    "eugene": "gene",
    "florence": "flo",
    "frances": "fran francie frankie",
    "francis": "frank frankie",
    "francisca": "paca paquita",
    "francisco": "paco pancho frank cisco fco",
    "franklin": "frank",
    "frederick": "fred freddy freddie rick fredrick",
    "gabriel": "gabe",
    "gabriela": "gabi gaby",
    "geoffrey": "jeff geoff jeffrey",
    "george": "georgie",
    "gerald": "jerry gerry",
    "gertrude": "trudy",
    "gilbert": "gil bert",
    "graciela": "chela",
    "gregory": "greg",
    "guadalupe": "lupe lupita",
    "guillermo": "memo",
    "gustavo": "gus tavo",
    "hannah": "hanna",
    "harold": "harry hal",
    "helen": "nell nellie",
    "henry": "hank harry hal",
    "herbert": "herb bert",
    "ignacio": "nacho",
    "irene": "renie",
    "isabel": "chabela isa izzy bella isabelle isabella",
    "jacob": "jake jacobo",
    "jacqueline": "jackie jacquelyn",
    "james": "jim jimmy jamie jas",
    "janet": "jan",
    "jennifer": "jen jenny jenn jenifer",
    "jeremy": "jerry",
    "jesus": "chuy chucho",
    "jessica": "jess jessie",
    "joann": "jo joanne joanna",
    "john": "jack johnny jon",
    "jonathan": "jon jonny johnathan john nathan",
    "jorge": "coque",
    "jose": "pepe chepe",
    "joseph": "joe joey jos",
    "josephine": "jo josie",
    "joshua": "josh",
    "juan": "juanito",
    "judith": "judy judi",
    "kenneth": "ken kenny",
    "kimberly": "kim kimberley",
    "kristin": "kris kristen kristy",
    "lawrence": "larry laurence",
    "leonard": "len lenny leo",
    "leticia": "lety letty",
    "lillian": "lily lil lillie lilian",
    "louis": "lou louie lewis",
    "louise": "lou",
    "lucille": "lucy",
    "luis": "lucho",
    "madeline": "maddie madeleine madelyn",
    "manuel": "manolo manny",
    "margaret": "maggie meg peggy marge margie peg",
    "maria": "ma mari",
    "mark": "marc",
    "martha": "marty patty",
    "martin": "marty",
    "mary": "molly polly mamie",
    "matthew": "matt mathew",
    "megan": "meg meghan meagan",
    "melissa": "missy mel",
    "mercedes": "meche",
    "michael": "mike mick mickey mikey micheal",
    "michelle": "shelly michele",
    "miguel": "mike migue",
    "mohammed": "muhammad mohamed mohammad md mohd muhammed",
    "nancy": "nan",
    "natalie": "nat nattie nathalie",
    "nathaniel": "nate nat nathan nathanael",
    "nicholas": "nick nicky nicolas",
    "nicole": "nikki nicki",
    "norman": "norm",
    "oliver": "ollie",
    "pamela": "pam",
    "patricia": "pat patty patti trish tricia",
    "patrick": "pat paddy rick",
    "peter": "pete",
    "philip": "phil phillip pip",
    "rachel": "rach rachael",
    "rafael": "rafa",
    "ramon": "moncho",
    "randall": "randy",
    "raymond": "ray",
    "rebecca": "becky becca rebekah",
    "refugio": "cuca",
    "richard": "rick dick rich ricky richie",
    "ricardo": "rick richie ricky",
    "robert": "bob bobby rob robbie bert robby",
    "roberto": "beto bob",
    "ronald": "ron ronnie",
    "rosario": "charo chayo",
    "russell": "russ rusty",
    "samantha": "sam sammie",
    "samuel": "sam sammy",
    "sara": "sarah sally sadie",
    "sean": "shawn shaun",
    "sofia": "sophia sofie sophie",
    "stanley": "stan",
    "stephanie": "steph stefanie",
    "stephen": "steve steven stevie stephan",
    "susan": "sue susie suzie suzanne susanne",
    "teresa": "terry tere tess tessa theresa",
    "theodore": "ted teddy theo",
    "thomas": "tom tommy",
    "timothy": "tim timmy",
    "tobias": "toby",
    "valerie": "val",
    "veronica": "ronnie vero",
    "vicente": "chente",
    "victor": "vic",
    "victoria": "vicky vicki tori",
    "vincent": "vince vinny",
    "virginia": "ginny ginger",
    "walter": "walt wally",
    "william": "bill will billy willie liam",
    "zachary": "zach zack zak zachariah",
}
# More names in common use, so similar to other names that a twin may have them
_OTHERS: Final = """
aaliyah aaron abel ada adam adan addison adela adele adrian adriana adrienne aidan aiden aileen aisha alaina alana
alayna aldo alejo alexa alexia alexis alfonso alicia alina alisa alison alissa aliyah allison alma alondra alonso
alvaro alvin alyssa amalia amaya amber amelia amelie amir amira amy ana anabel anahi anastasia anaya anderson andre
andres angel angela angelica angelina angie anika anita anton april arden ari aria ariana arianna ariel arlene armando
arnold aron arturo asher ashley ashlyn ashton athena aubree aubrey audrey august aurora austin autumn ava avery axel
ayden ayla bailey barrett barry beau belen bennett benson bernice bertha bianca blake blanca bonnie boris braden
bradford brady brandi brandon brandy braxton brayden brenda brendan brenden brendon brennan brent brett brianna
bridget briella brielle brinley brittany brock brody brooke brooks bruce bruno bryant bryce brynlee brynn bryson byron
cade caden cadence caitlin caleb callie calvin camden cameron camila camilla camille candace cara carina carla carlton
carly carmela carmen carson carter casey cash cassandra cassidy cassie cecelia cecilia celeste celia cesar chad chance
chandler charlene charlotte chase chelsea cheryl chester chloe christian christiana claire clara clark claudia clayton
clifford clint clinton clyde cody colby cole colin colleen collin colton connie connor conor cooper cora corey corinne
courtney craig crystal curtis daisy dakota dale dallas dalton damian damien damon dana dane dania daniela daniella
dante daphne darius darla darlene darnell darrell darren darryl dawn dawson dayana dean deanna declan delia delilah
denis denise dennis derek derrick desiree destiny devin devon dexter diana diane diego dina dion dominic dominick
dominique donna doreen doris duane dustin dwayne dwight dylan earl easton eden edgar edith edmund edna elaine elena
eli elias elijah elisa elise ella elle ellen elliot elliott ellis elmer eloise elsa elvira ema emanuel emerson emery
emilia emiliano emilio emma emmett erica erick erika erin ernest esme esmeralda esteban estela estella ester esther
estrella ethan eugenia eva evan evangeline eve evelyn everett everly ezekiel ezra fabian faith fatima faye felicia
felicity felipe felix fernanda fernando finley finn fiona flora forrest frida frieda gael gage garrett gary gavin
gemma genesis geneva georgia gerard gerardo german gia giana gianna gideon gilberto gina giovanni giselle gladys glen
glenda glenn gloria gordon grace gracie grady graham grant grayson greta greyson griffin guy gwen gwendolyn hadley
hailey haley hallie harley harlow harmony harper harriet harrison harvey hattie hayden haylee hazel heath heather
hector heidi heidy helena herman holly hope howard hudson hugh hugo hunter ian ibrahim ida iker imani imran ingrid ira
irma isaac isaiah isaias isla ismael israel issac ivan ivy jace jackson jacoby jade jaden jadon jaiden jaime jalen
jalissa jameson jamison jana jane janelle janessa janice janie jared jarrod jasmin jasmine jason jasper javier javon
jax jaxon jaxson jay jayce jayceon jayda jayden jayla jaylen jaylin jaylon jaylynn jayson jean jeanette jeanne jeannie
jefferson jenna jeremias jerome jesse jill jillian joan joaquin jocelyn jodi jody joel joelle johan johana johanna
jonah jonas jordan jordyn josiah josue joy joyce juana juanita judah jude julia julian juliana julianna julianne julie
juliet juliette julio julissa julius june justice justin justina justine kade kaden kai kaiden kailey kaitlin kaitlyn
kaleb kali kamila kara karen kari karin karina karla karlee karly karsyn karter kasey katelyn katrina kaya kayden
kaydence kayla kaylee kayleigh kaylen kaylie kaylin kayson keegan keira keith kelli kellie kelly kelsey kelsie kelvin
kendall kendra kendrick kennedy kenya kevin kiara kiera kiley killian kingsley kingston kinley kinsley kira kirk kobe
kody kole kolton kora kourtney krystal kurt kyla kyle kylee kyler kylie kyra kyson lacey laila lana lance landen
landon landry lane lara larissa latoya laura laurel lauren lauryn layla layton lea leah leanna lee leia leila lela
lena leon leona leonardo leonel leroy lesley leslie lester levi lia liana lidia lilah liliana lincoln linda lindsay
lindsey lionel lloyd logan london lonnie loren lorena lorenzo loretta lori lorraine luca lucas lucia luciana luka
lukas luke luna luther luz lydia lyla lyle lynda lynn mabel mackenzie macy maddison maddox madison mae maeve magdalena
maia makayla makenna makenzie malachi malcolm malia malik mallory mara marcela marcella marcelo marcia marco marcos
marcus margarita margo marguerite mariah mariam marian mariana mariano maribel maricela marie mariela marilyn marina
mario marion marisa marisela marisol marissa marjorie marlene marlon marquis marsha marshall martina marvin mason
mateo matias matilda mattie maureen maurice mauricio max maxim maximus maxine maxwell maya mckenna mckenzie melanie
melinda melody melvin mercy meredith messiah mia micah michaela miguelina mila milagros milan milana mildred milena
miles milo milton mina mindy minerva miranda miriam misty mitchell moises monica monique monserrat morgan moses muriel
mya myla myles myra myriam myrna myron nadia naomi natalia natasha neil nelson nestor nevaeh nico nicolasa nina noah
noel noelia noelle noemi nolan nora noreen norma nova nyla octavia octavio odette olga olive olivia omar opal ora
orlando oscar owen pablo paige paisley paloma paola parker patience paul paula paulette paulina pauline paxton payton
pearl pedro penelope penny percy perla perry peyton phoebe phoenix phyllis pierce piper porter presley preston
priscilla quentin quincy quinn quinton raegan rafaela ralph ramiro ramona randal raquel raul raven reagan rebeca reed
reese regina reginald reid reina remi remington rene renee reuben rex reyna rhonda rhys riley river robin robyn rocco
rocio roderick rodney rodrigo rogelio roger roland rolando roman ronan rory rosa rosalie rosalind rosalyn rose roseann
rosemary rosie ross rowan roxanne roy ruben ruby rudy rufus ruth ryan ryder ryker rylan rylee ryleigh sabrina sade
sage saige salma salvador samara samir santiago santos saul savannah sawyer scarlet scarlett scott sebastian selah
selena selina serena serenity sergio seth shane shania shannon shari sharon sheila shelby sheldon shelia sheri sherri
sherry shirley sidney sienna sierra silas silvia simon simone skylar skyler sonia sonya spencer stacey staci stacy
stella sterling stuart summer susana sybil sydney sylvia tabitha talia tamara tammy tania tanner tanya tara taryn
tasha tatiana tatum taylor terence terrance terrell terri tiana tiara tiffany todd tomas tonia tonya tracey traci
tracy travis trent trenton trevor trey trinity tristan troy ty tyler tyson uriel ursula valentina valeria vanessa vera
vernon viola violet violeta vivian viviana vivienne wade wanda warren waylon wayne wendell wendy wesley weston whitney
wilfred willa willard willow wilma winston wyatt xavier ximena xiomara yadira yahir yasmin yesenia yolanda yusuf
yvette yvonne zaiden zain zander zane zara zayden zayn zion zoe zoey zoie zola zora
"""
_GROUPS: Final = tuple({name, *forms.split()} for name, forms in _FORMS.items())
_PAIRS: Final = frozenset(pair for group in _GROUPS for pair in permutations(group, 2))
IN_USE: Final = frozenset(_OTHERS.split()).union(*_GROUPS)
"""Given names in common use, without case and accents."""


def is_form_of(one: str, other: str) -> bool:
    """True if two names, without case and accents, are forms of one name: Bob and Robert, Liz and Beth."""
    return (one, other) in _PAIRS
